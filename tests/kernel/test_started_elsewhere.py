"""What a command has a daemon start is none of its own: it is named, and what to type instead."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.runs import record


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("client", "words", "told"),
    [
        ("systemctl", "restart web", "had systemd start web, and this report is about sh alone"),
        ("docker", "build .", "had an image built (docker build): its steps were run by"),
        ("ctr", "run x", "started containers (ctr run), and this report is about sh alone"),
        (
            "ctr",
            "run x",
            "to record them: start it, then watch its first process: capadvise attach PID",
        ),
        ("docker", "exec web true", "had an engine act on containers (docker exec), and this"),
        ("podman", "pod create", "started containers (podman pod create), and this report"),
        ("kubectl", "apply -f x", "on their node: capadvise attach NAMESPACE/POD"),
        ("systemctl", "stop web", ""),
    ],
)
def test_what_is_started_elsewhere_is_named(
    client: str, words: str, told: str, tmp_path: Path
) -> None:
    """The client is a shell of that name, and its command a script that it reads."""
    program, command = tmp_path / client, tmp_path / words.split()[0]
    shutil.copy("/bin/bash", program)
    command.write_text("sleep 0.5\n")
    seen = record(tmp_path / "report.json", "sh", "-c", f"{program} {words}; true", cwd=tmp_path)
    assert seen.code == 0, seen.stderr
    cautions = " ".join(seen.report["recordings"][0]["cautions"])
    assert (told in cautions) if told else (not cautions)
    alone = "sh: not judged: what daemons ran for the command was not recorded" in seen.stderr
    assert alone is bool(told)


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("client", "words"),
    [("docker", "run --rm image"), ("systemctl", "restart web"), ("podman", "pod create")],
)
def test_a_wrapper_is_not_tried(client: str, words: str, tmp_path: Path) -> None:
    """Each trial would start real containers, and their names would be taken."""
    shutil.copy("/bin/bash", program := tmp_path / client)
    (tmp_path / words.split()[0]).write_text("echo >> started; sleep 0.5\n")
    script = f"{program} {words}; true"
    seen = record(tmp_path / "r.json", "sh", "-c", script, options=("--prove",), cwd=tmp_path)
    assert seen.code != 0
    assert "each trial would start again what the command has an engine or systemd" in seen.stderr
    assert "capadvise run -- " in seen.stderr
    assert (tmp_path / "started").read_text() == "\n"
