"""What capadvise stands on gives way: disk, trace buffer, tracefs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.faults.aftermath import in_mounts_of_its_own, nothing_is_left, sound
from tests.support.processes import Marked
from tests.support.runs import CAPADVISE
from tests.support.trace_buffers import unread
from tests.support.wait import until

FULL_DISK = """
set -e
mkdir disk
mount -t tmpfs -o size=64k disk disk
export XDG_STATE_HOME=$PWD/state
"$1" run -q -o disk/r.json -- true
cp disk/r.json before
status=0
"$1" run -o disk/r.json -- sh -c "chown 1 f; cat /dev/zero >disk/fill; exit 7" 2>said || status=$?
cmp disk/r.json before
[ "$(ls -A disk | sort | tr '\\n' ' ')" = "fill r.json " ]
echo $status
"""
UNMOUNTED = """
set -e
mount --make-rprivate /
mountpoint -q /sys/kernel/tracing || mount -t tracefs tracefs /sys/kernel/tracing
"$1" run -q -o r.json -- sh -c "touch ready; until [ -e go ]; do sleep 0.1; done; chown 1 f" &
until [ -e ready ]; do sleep 0.1; done
umount -l /sys/kernel/tracing
! mountpoint -q /sys/kernel/tracing
echo $! >supervisor
touch go
wait $!
"""
FLOOD = """
import mmap, os, sys, time
open("ready", "w").close()
while not os.path.exists("go"): time.sleep(0.01)
for _ in range(30000): os.chown("f", 1, 1)
for _ in range(60000): mmap.mmap(-1, 4096).close()
open("done", "w").close()
"""


def test_a_full_disk_keeps_the_report_that_is_there(tmp_path: Path) -> None:
    assert in_mounts_of_its_own(FULL_DISK, tmp_path) == "7\n"
    said = (tmp_path / "said").read_text()
    assert "cannot write the report" in said
    assert "No space left on device" in said
    assert "Traceback" not in said
    assert sound(tmp_path / "before")


def test_tracefs_is_unmounted_meanwhile(tmp_path: Path, marked: Marked) -> None:
    in_mounts_of_its_own(UNMOUNTED, tmp_path)
    assert sound(tmp_path / "r.json")
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["proposal"]["cap_add"] == ["CHOWN"]
    nothing_is_left(marked, {int((tmp_path / "supervisor").read_text())})


def test_what_the_buffer_could_not_keep_is_counted_and_said(tmp_path: Path, marked: Marked) -> None:
    (tmp_path / "f").touch()
    report = tmp_path / "r.json"
    process = subprocess.Popen(
        [CAPADVISE, "run", "-o", str(report), "--", sys.executable, "-c", FLOOD],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    until((tmp_path / "ready").exists)
    until(lambda: not unread(process.pid))  # the exec has been read
    os.kill(process.pid, signal.SIGSTOP)  # nobody reads
    (tmp_path / "go").touch()
    until((tmp_path / "done").exists)
    os.kill(process.pid, signal.SIGCONT)
    _, said = process.communicate(timeout=120)
    nothing_is_left(marked, {process.pid})
    one = sound(report)
    assert one is not None
    assert one.recording.lost.signal > 0
    assert one.recording.lost.sys_admin > 0
    said = " ".join(said.split())
    assert f"recorded in part: {one.recording.lost.signal} events dropped; the absence of" in said
    assert "its absence is unconfirmed" in said
    raw = json.loads(report.read_text())
    assert raw["proposal"]["cap_add"] == ["CHOWN"]  # no stack that was lost is taken for a need
    sys_admin = next(need for need in raw["needs"] if need["cap"] == "CAP_SYS_ADMIN")
    assert sys_admin["uncertain"]
