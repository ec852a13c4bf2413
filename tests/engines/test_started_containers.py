"""A command that starts containers by the way: they are named, and what to type instead."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.containers import BOX, MARK, record
from tests.support.runs import CAPADVISE

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("boxes")]
RUN = f"docker run --rm --name={MARK}-inner --network=none {BOX} true"


@pytest.mark.parametrize("by", ["script", "shell"])
def test_containers_that_a_command_starts_are_named(by: str, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text(f"#!/bin/sh\n{RUN}\n")
    script.chmod(0o755)
    words = {"script": (str(script),), "shell": ("sh", "-c", f"{RUN}; true")}[by]
    seen = record(tmp_path / "report.json", *words, cwd=tmp_path)
    assert seen.code == 0, seen.stderr
    (caution,) = seen.report["recordings"][0]["cautions"]
    assert f"started the container {MARK}-inner" in caution
    assert caution.endswith(f"run -- {RUN}")
    assert "Caution: " in seen.stderr
    assert "not judged: what daemons ran for the command was not recorded" in seen.stderr


def test_a_script_that_starts_containers_and_fails_cannot_be_proven(tmp_path: Path) -> None:
    """That it should end with 0 is no help: its containers are what was meant."""
    words = ("sh", "-c", f"{RUN}; false")
    seen = record(tmp_path / "report.json", *words, cwd=tmp_path, options=("--prove",))
    assert "the recorded run failed" in seen.stderr
    (hint,) = [one for one in seen.stderr.splitlines() if one.startswith("capadvise: hint: ")]
    assert hint.endswith(f"run -- {RUN}")


def test_what_cannot_be_recorded_from_its_start_is_refused_before() -> None:
    words = [CAPADVISE, "run", "--", "podman", "kube", "play", "pod.yaml"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 2
    assert "podman kube play: its containers cannot be recorded from their start" in done.stderr
    assert "capadvise attach CONTAINER" in done.stderr
