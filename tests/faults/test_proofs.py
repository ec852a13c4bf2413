"""What happens in the middle of a proof: the trials so far are kept, none is judged that cannot be,
and nothing of the user's is changed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.aftermath import in_mounts_of_its_own, nothing_is_left, sound
from tests.support.processes import Marked
from tests.support.runs import CAPADVISE
from tests.support.wait import until

WORKLOAD = """
name: proof
setup: |
  n=$(cat {count} 2>/dev/null || echo 0); echo $((n+1)) > {count}
  echo $n > n
command: |
  [ $(cat n) -lt {most} ] || {then}
  set -e
  touch f; chown 1 f; chmod 600 f; setpriv --reuid=2 --clear-groups true
check: test $(stat -c %u f) = 1
"""
FULL_DISK = """
set -e
mount --make-rprivate /
exec 8<"$2" # this may be below /tmp itself
mount -t tmpfs -o size=20m disk /tmp
mkdir -p "$2" && mount --no-canonicalize --bind /proc/self/fd/8 "$2"
status=0
"$1" prove -o r.json w.yaml 2>&1 || status=$?
[ -z "$(ls -A /tmp | grep -vxF "$(echo "$2" | cut -d/ -f3)")" ]
echo "ended with $status"
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that no test of another process has."""
    path = Path(f"/srv/capadvise-test-{os.getpid()}")
    path.mkdir()
    yield path
    for one in path.iterdir():
        one.unlink()
    path.rmdir()


def workload(folder: Path, most: int, then: str) -> None:
    # The set-up counts the trials where these have no cover: in the folder as we see it.
    count = f"/proc/{os.getpid()}/root{folder / 'count'}"
    text = WORKLOAD.format(count=count, most=most, then=then)
    (folder / "w.yaml").write_text(text)


def trials(report: Path) -> list[dict[str, Any]]:
    proof = json.loads(report.read_text())["proof"] if report.exists() else None
    return list(proof["trials"]) if proof else []


def test_a_disk_that_fills_up_is_no_verdict(folder: Path) -> None:
    """Every trial fails then, whatever it is made with."""
    workload(folder, 3, "cat /dev/zero > /tmp/fill")
    said = in_mounts_of_its_own(FULL_DISK, folder)
    assert said.endswith("ended with 1\n"), said
    early = "the trials ended early: no space left on the disk that holds /tmp"
    assert early in " ".join(said.split())
    assert sound(folder / "r.json")
    assert trials(folder / "r.json")[0]["passed"]
    proof = json.loads((folder / "r.json").read_text())["proof"]
    assert not proof["complete"]
    assert not proof["minimal"]["minimal"]


def test_a_prover_that_is_killed_has_kept_its_trials(folder: Path, marked: Marked) -> None:
    workload(folder, 2, f"exec sleep {marked.word}")
    report = folder / "r.json"
    prover = subprocess.Popen(
        [CAPADVISE, "prove", "-o", report, folder / "w.yaml"], stdout=subprocess.DEVNULL
    )
    until(lambda: trials(report) and marked.processes(), 60)
    prover.send_signal(signal.SIGKILL)
    prover.wait()
    nothing_is_left(marked, {prover.pid})
    assert sound(report)
    assert trials(report)[0]["passed"]
    assert not json.loads(report.read_text())["proof"]["complete"]
    shown = subprocess.run([CAPADVISE, "explain", report], capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
