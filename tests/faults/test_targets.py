"""Targets that do what no honest program does. The recording is whole, and nothing is left."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.faults.aftermath import nothing_is_left, sound
from tests.support.processes import Marked
from tests.support.runs import CAPADVISE

CHILDREN = """
import os, sys
for number in range(int(sys.argv[1])):
    if os.fork() == 0:
        os._exit(0)
    if number % 100 == 99:
        for _ in range(100): os.wait()
os.chown("f", 1, 1)
"""
EXEC_LOOP = """
import os, sys
left = int(sys.argv[1])
if left: os.execv(sys.executable, [sys.executable, "-S", "-E", sys.argv[0], str(left - 1)])
os.chown("f", 1, 1)
"""
CLOSED = """
import os
os.closerange(0, 4096)
os.chown("f", 1, 1)
"""
KILLS_AT_ONCE = """
#include <signal.h>
#include <unistd.h>
int main() { kill(getppid(), SIGKILL); return 0; }
"""
BLOCKED = """
import os, signal, time
signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(number, signal.SIG_IGN)
os.chown("f", 1, 1)
time.sleep(600)
"""
NAMED = """
import os, sys
steering = "\\x1b]0;owned\\x07\\x1b[2J\\n"
open("/proc/self/comm", "w").write(steering)
if len(sys.argv) == 1:
    os.symlink(sys.executable, steering)
    os.execv(steering, [steering, sys.argv[0], steering])
os.chown("f", 1, 1)
"""
LEADER = """
import os, time
if os.fork(): os._exit(0)
os.setsid()
if os.fork(): os._exit(0)
os.setsid()
os.chown("f", 1, 1)
time.sleep(600)
"""
STOPPED = """
import os, signal, time
os.chown("f", 1, 1)
if os.fork() == 0:
    os.kill(os.getpid(), signal.SIGSTOP)
os.kill(os.getpid(), signal.SIGSTOP)
"""
KILLER = """
import os, signal
os.chown("f", 1, 1)
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
    os.kill(os.getppid(), number)
"""
NEVER_TWICE = """
import ctypes, os, sys, time
libc = ctypes.CDLL(None)
for number in range(int(sys.argv[1])):
    libc.prctl(24, 1000 + number, 0, 0, 0)  # PR_CAPBSET_DROP: asks for SETPCAP, and is recorded
    if number % 1000 == 0: time.sleep(0.1)
os.chown("f", 1, 1)
"""
FASTER = """
import os
os.chown("f", 1, 1)
os.fork()
while True: os.chroot("/")
"""
DONE = ("--check", 'test "$(stat -c %u f)" = 1', "--check-after", "1")
"""Ends it after a second, and not before it has done what is to be seen."""
TARGETS: dict[str, tuple[str, tuple[str, ...], tuple[str, ...], dict[str, Any]]] = {
    "forks 10,000 children": (CHILDREN, ("10000",), (), {"exit_status": 0}),
    "executes itself in a loop": (EXEC_LOOP, ("1000",), (), {"exit_status": 0}),
    "closes all descriptors": (CLOSED, (), (), {"exit_status": 0}),
    "blocks every signal": (BLOCKED, (), ("--for", "1"), {"exit_status": 137}),
    "calls itself an escape sequence": (NAMED, (), (), {"exit_status": 0}),
    "leads a session of its own": (LEADER, (), DONE, {"exit_status": 0}),
    "stops itself": (STOPPED, (), DONE, {"exit_status": 143}),
    "never asks the same twice": (NEVER_TWICE, ("60000",), (), {"exit_status": 0}),
    "sends signals to the guardian": (KILLER, (), (), {"exit_status": 0}),
}
"""What it does → its code, its arguments, options of ``run``, and what the recording says."""


@pytest.mark.parametrize("name", TARGETS)
def test_a_hostile_target(name: str, full: bool, marked: Marked, tmp_path: Path) -> None:
    if name == "blocks every signal" and not full:
        return  # it takes ten seconds; test_supervision has one that ignores SIGTERM
    hostile(name, (), full, marked, tmp_path)


def test_under_retries(full: bool, tmp_path: Path) -> None:
    for name in TARGETS if full else ["closes all descriptors"]:
        marked = Marked()
        (tmp_path / marked.word).mkdir()
        hostile(name, ("--retry",), full, marked, tmp_path / marked.word)
        marked.end()


def hostile(name: str, options: tuple[str, ...], full: bool, marked: Marked, folder: Path) -> None:
    """Run it, and look at what it left."""
    code, arguments, more, expected = TARGETS[name]
    (folder / "f").touch()
    program = folder / f"{marked.word}.py"
    program.write_text(code)
    counts = arguments if full else [str(int(word) // 10) for word in arguments]
    report = folder / "r.json"
    process = subprocess.Popen(
        [
            *(CAPADVISE, "run", "-o", str(report), *more, *options),
            *("--", sys.executable, "-S", "-E", str(program), *counts),
        ],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, err = process.communicate(timeout=600)
    said = err.decode()
    assert not set(said) & {"\x1b", "\x07"}, said
    nothing_is_left(marked, {process.pid})
    one = sound(report)
    assert one is not None, said
    recording = json.loads(report.read_text())["recordings"][0]
    assert {key: recording[key] for key in expected} == expected, said
    assert json.loads(report.read_text())["proposal"]["cap_add"] == ["CHOWN"], said
    assert recording["lost"]["signal"] == 0
    assert not out


def test_one_that_asks_faster_than_is_read_is_stopped_in_time(
    marked: Marked, tmp_path: Path
) -> None:
    """Reading comes to no end of what is there, and the rest of the work is done all the same."""
    (tmp_path / "f").touch()
    program = tmp_path / f"{marked.word}.py"
    program.write_text(FASTER)
    report = tmp_path / "r.json"
    with subprocess.Popen(
        [
            *(CAPADVISE, "run", "-q", "-o", str(report), "--for", "1"),
            *("--", sys.executable, "-S", "-E", str(program)),
        ],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
    ) as process:
        try:
            process.wait(120)
        finally:
            process.kill()  # and the guardian kills the target
    nothing_is_left(marked, {process.pid})
    assert sound(report)
    assert json.loads(report.read_text())["proposal"]["cap_add"] == ["CHOWN", "SYS_CHROOT"]


def test_the_guardian_is_killed_before_it_can_tell_of_the_start(tmp_path: Path) -> None:
    """On one processor the target is often first; then this is no error, and the report stays."""
    build = ["gcc", "-O1", "-x", "c", "-", "-o", "p"]
    subprocess.run(build, input=KILLS_AT_ONCE, text=True, cwd=tmp_path, check=True)
    for number in range(8):
        command = [CAPADVISE, "run", "-q", "-o", f"{number}.json", "--", "./p"]
        done = subprocess.run(["taskset", "-c", "0", *command], cwd=tmp_path, capture_output=True)
        assert done.returncode in (0, 128 + 9), done.stderr
        assert sound(tmp_path / f"{number}.json") is not None
