"""What the README shows is what is printed: its commands are run here (about 30 s), or by the demo
that shows them (``test_demos``)."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engines.transcript import README, STEPS, TOP, Step, assert_shows
from tests.support.containers import call
from tests.support.required import missing, tool

SCRIPTS = "".join(path.read_text() for path in TOP.glob("demos/*/run"))
RUN_HERE = [step for step in STEPS if f'show "{step.command}"' not in SCRIPTS]
NOT_RUN = {
    "demos/first": "installs packages; it runs the first story, which is run here",
    "tests/run": "it runs this test",
}
"""Commands without output, and why they are not run."""


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The place where one command after the other is run: as a clone of the repository."""
    if os.geteuid() != 0:
        missing("only root observes and starts containers here")
    for name in ("docker", "curl", "unshare", "ip"):
        tool(name)
    if call("docker", "image", "inspect", "capadvise-demo").returncode:
        assert call(str(TOP / "demos/sys-admin/run"), "host-name").returncode == 0
    place = tmp_path_factory.mktemp("readme")
    (place / "demos").symlink_to(TOP / "demos")
    return place


def printed_by(command: str, place: Path) -> str:
    """What a shell prints, in a network of its own: port 80 of this machine may be taken."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    shell = 'ip link set lo up && exec bash -c "$1" 2>&1'
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", shell, "sh", command],
        cwd=place,
        env={**os.environ, "PATH": path, "XDG_STATE_HOME": str(place)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
    )
    return done.stdout


@pytest.fixture(scope="module")
def printed(session: Path) -> dict[str, str]:
    """What each command prints, one after the other: tests of one file can run in two processes."""
    return {step.command: printed_by(step.command, session) for step in RUN_HERE}


@pytest.mark.parametrize("step", RUN_HERE, ids=lambda step: step.command[:60])
def test_a_command_prints_what_is_shown(step: Step, printed: dict[str, str]) -> None:
    assert_shows(step.output, printed[step.command])


def test_every_command_without_output_is_accounted_for() -> None:
    blocks = re.findall(r"(?ms)^```sh\n(.*?)^```", README)
    commands = [line.split("#")[0].strip() for block in blocks for line in block.splitlines()]
    assert commands == list(NOT_RUN)
    assert all((TOP / command).exists() for command in commands)
    assert f"\\$ sudo {STEPS[0].command}" in (TOP / "demos/first").read_text()


def test_every_link_leads_somewhere() -> None:
    targets = re.findall(r"\]\(([^)]+)\)|^\[[^]]+\]: (\S+)$", README, re.MULTILINE)
    for target in filter(None, (inline or reference for inline, reference in targets)):
        path, _, anchor = target.partition("#")
        if "://" not in path:
            assert (TOP / path).exists(), target
            heads = re.findall(r"(?m)^#+ (.+)$", (TOP / path).read_text()) if anchor else []
            assert not anchor or anchor in {head.lower().replace(" ", "-") for head in heads}


def test_it_is_short_enough_to_be_read() -> None:
    assert len(README.splitlines()) <= 200
