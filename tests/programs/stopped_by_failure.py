"""Says when a child is stopped that makes 100 folders and then, twice, one that is there already:
``FailingCalls`` is to stop it at the first failure. On x86-64, in an empty folder, as root."""

from __future__ import annotations

import errno
import os
import signal

from capadvise.linux.ftrace import tracefs
from capadvise.linux.retry.failing import FailingCalls

MKDIR = 83  # arch/x86/entry/syscalls/syscall_64.tbl


def child(begin: int) -> None:
    os.read(begin, 1)
    for number in [*range(100), 0, 0]:
        try:
            os.mkdir(f"{number}")
        except FileExistsError:
            continue
    os._exit(0)


def main() -> None:
    failing = FailingCalls(tracefs.find(), {errno.EEXIST})
    begin, let_begin = os.pipe()
    pid = os.fork()
    if not pid:
        child(begin)
    assert failing.arm(pid, MKDIR)
    os.write(let_begin, b"1")
    while True:
        _, status = os.waitpid(pid, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            break
        print(f"stopped after {len(os.listdir())} successes", flush=True)
        os.kill(pid, signal.SIGCONT)
    print(f"ended with {os.waitstatus_to_exitcode(status)}", flush=True)


main()
