"""The pairs of ``demos/sys-admin``: before with SYS_ADMIN, after without it. About 3 s each."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.engines.conftest import call, missing, tool

DEMOS = Path(__file__).parents[2] / "demos" / "sys-admin"
PAIRS = sorted(path.parent.name for path in DEMOS.glob("*/compose.yaml"))


@pytest.fixture(scope="module", autouse=True)
def _can_run() -> None:
    if os.geteuid() != 0:
        missing("only root runs the demos here")
    for name in ("docker", "bwrap", "fuse-overlayfs", "perf", "losetup"):
        tool(name)
    if call("docker", "info").returncode:
        missing("no docker daemon answers")


@pytest.mark.parametrize("name", PAIRS)
def test_it_needs_sys_admin_before_and_not_after(name: str) -> None:
    ran = subprocess.run([DEMOS / "run", name], capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    before, without, after = ran.stdout.splitlines()[1:]
    said = before.removeprefix("before: ")
    assert after == f"after: {said}"
    assert without != f"without: {said}"


@pytest.mark.parametrize("name", PAIRS)
def test_its_page_shows_what_it_prints(name: str) -> None:
    assert (DEMOS / name / "expected.txt").read_text() in (DEMOS / name / "README.md").read_text()
