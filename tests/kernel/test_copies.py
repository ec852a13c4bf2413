"""Copies of a process: whatever happens to it meanwhile, happens as if there were none."""

from __future__ import annotations

import sys

import pytest

from tests.support.runs import Run

COPIES = ("--copies",)
CHOWNS = """
import os
open("f", "w").close()
for _ in range(3):
    os.chown("f", 1, 1)
    for _ in range(8_000_000):
        pass
"""
WHILE_HELD = f"""
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {CHOWNS!r}])
status = f"/proc/{{child.pid}}/status"
while "TracerPid:\\t0\\n" in (text := open(status).read()) and "zombie" not in text:
    pass
os.kill(child.pid, int(sys.argv[1]))
print(os.waitpid(child.pid, os.WUNTRACED)[1])
child.kill()
"""


@pytest.mark.parametrize(("signal", "status"), [(9, 9), (19, 19 << 8 | 0x7F), (15, 15)])
def test_a_signal_to_a_process_that_is_copied_reaches_it(
    run: Run, signal: int, status: int
) -> None:
    result = run(sys.executable, "-c", WHILE_HELD, str(signal), options=COPIES)
    assert result.stdout.split() == [str(status)], result.stderr


NEW_NAMESPACE = """
import ctypes, os
open("f", "w").close()
ctypes.CDLL(None).unshare(0x20000000)  # CLONE_NEWPID: the next child is the first process there
os.chown("f", 1, 1)
print(os.waitpid(os.fork() or os._exit(os.getpid()), 0)[1] >> 8)
"""


def test_a_copy_is_not_the_first_process_of_a_pid_namespace(run: Run) -> None:
    result = run(sys.executable, "-c", NEW_NAMESPACE, options=COPIES)
    assert result.stdout.split() == ["1"], result.stderr


IN_NAMESPACE = """
import os
open("f", "w").close()
for uid in range(3):
    os.chown("f", uid, 0)
    os.getcwd()
print(sum(name.isdigit() for name in os.listdir("/proc")))
"""


def test_no_copy_is_left_in_a_pid_namespace(run: Run) -> None:
    words = ("unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", IN_NAMESPACE)
    result = run(*words, options=COPIES)
    assert result.stdout.split() == ["1"], result.stderr
