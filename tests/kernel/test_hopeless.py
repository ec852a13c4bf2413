"""A trial that cannot pass any more ends before its time-out."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.support.runs import CAPADVISE

pytestmark = pytest.mark.kernel
HANGS = "while :; do sleep 100; done"
CRASH_LOOP = "while :; do sleep 0.2; done"
_WORKLOAD = """\
name: stuck
kind: daemon
timeout: 60
setup: touch $W/file
command: chown 5 file && touch up; {after}
check: test -e $W/up && sleep 1
"""


@pytest.mark.parametrize("after", [HANGS, CRASH_LOOP], ids=["hangs", "loops"])
def test_what_stands_still_is_given_up(after: str, tmp_path: Path) -> None:
    """What ends it says that it was not the time-out. What is needed is found all the same."""
    workload, report = tmp_path / "workload.yaml", tmp_path / "report.json"
    workload.write_text(_WORKLOAD.format(after=after))
    words = [CAPADVISE, "prove", str(workload), "-o", str(report)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    proof = json.loads(report.read_text())["proof"]
    assert done.returncode == 0, done.stderr
    assert proof["minimal"] is not None
    failed = [trial for trial in proof["trials"] if not trial["passed"]]
    assert failed
    assert all("nothing new happened any more" in one["differences"][0] for one in failed), failed
