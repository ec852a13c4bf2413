"""The target stops its guardian: nothing waits for it, and nothing runs on."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from capadvise.kernel import procfs
from tests.faults.aftermath import nothing_is_left, ours, sound
from tests.support.processes import Marked
from tests.support.runs import CAPADVISE
from tests.support.wait import PATIENCE, until

ONCE = "chown 1 f; kill -STOP $PPID; exec sleep {word}"
AGAIN = "chown 1 f; (while kill -STOP {guardian}; do :; done) & exec sleep {word}"


def start(folder: Path, script: str, *options: str) -> subprocess.Popen[bytes]:
    report = str(folder / "r.json")
    words = [CAPADVISE, "run", "-q", "-o", report, *options, "--", "sh", "-c", script]
    (folder / "f").touch()
    return subprocess.Popen(words, stdin=subprocess.DEVNULL, cwd=folder)


def guardian_of(process: subprocess.Popen[bytes]) -> int:
    return next(pid for pid, kind in ours(process.pid).items() if kind == "guardian")


@pytest.mark.parametrize("script", [ONCE, AGAIN.replace("{guardian}", "$PPID")])
@pytest.mark.parametrize("end", ["--for", "SIGINT", "SIGTERM"])
def test_time_and_signals_hold(script: str, end: str, marked: Marked, tmp_path: Path) -> None:
    options = ("--for", "1") if end == "--for" else ()
    process = start(tmp_path, script.format(word=marked.word), *options)
    if end != "--for":
        until(marked.processes)
        time.sleep(0.3)
        process.send_signal(getattr(signal, end))
    process.wait(PATIENCE)
    nothing_is_left(marked, {process.pid})
    report = sound(tmp_path / "r.json")
    assert report is not None
    assert [cap.short for cap in report.proposal.recommended] == ["CHOWN"]


def test_the_supervisor_is_killed_while_the_guardian_is_stopped(
    marked: Marked, tmp_path: Path
) -> None:
    process = start(tmp_path, f"exec sleep {marked.word}")
    until(marked.processes)
    supervisors = set(ours(process.pid))
    guardian = guardian_of(process)
    os.kill(process.pid, signal.SIGSTOP)  # so that it does not wake the guardian
    os.kill(guardian, signal.SIGSTOP)
    until(lambda: procfs.state(guardian) == "T")
    process.kill()
    process.wait()
    nothing_is_left(marked, supervisors)


def test_attach_ends_in_time(marked: Marked, tmp_path: Path) -> None:
    target = subprocess.Popen(["sleep", marked.word])
    words = [CAPADVISE, "attach", "-q", "-o", str(tmp_path / "r.json"), "--for", "1"]
    process = subprocess.Popen([*words, str(target.pid)])
    until(lambda: "guardian" in ours(process.pid).values())
    time.sleep(0.5)
    os.kill(guardian_of(process), signal.SIGSTOP)
    assert process.wait(PATIENCE) == 0
    assert target.poll() is None
    target.kill()
    target.wait()
    nothing_is_left(marked, {process.pid})
