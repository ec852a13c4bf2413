"""Says when a child gets the signal of ``FailingCalls`` that makes 100 folders, a call that there
is not, and then, twice, a folder that is there already: at the first of these. On x86-64, in an
empty folder, as root."""

from __future__ import annotations

import ctypes
import errno
import os
import signal

from capadvise.observe.retry.failing import SIGNAL, FailingCalls

MKDIR = 83  # arch/x86/entry/syscalls/syscall_64.tbl
NO_CALL = 83 + 512
NUMBER_AT = 120  # orig_ax, arch/x86/include/asm/ptrace.h


def child(begin: int, made: int, go_on: int) -> None:
    signal.signal(SIGNAL, lambda *_: print(f"signal after {len(os.listdir())} folders", flush=True))
    os.read(begin, 1)
    for number in range(100):
        os.mkdir(f"{number}")
    os.write(made, b"1")
    os.read(go_on, 1)
    assert ctypes.CDLL(None).syscall(NO_CALL) == -1
    print("no such call", flush=True)
    for _ in range(2):
        try:
            os.mkdir("0")
        except FileExistsError:
            continue
    os._exit(0)


def main() -> None:
    failing = FailingCalls({errno.EEXIST, errno.ENOSYS}, NUMBER_AT)
    (begin, let_begin), (made, say_made), (go_on, let_go_on) = os.pipe(), os.pipe(), os.pipe()
    pid = os.fork()
    if not pid:
        child(begin, say_made, go_on)
    assert failing.arm(pid, MKDIR)
    os.write(let_begin, b"1")
    os.read(made, 1)
    print("armed", failing.disarm(pid), failing.disarm(pid), flush=True)
    failing.arm(pid, MKDIR)
    os.write(let_go_on, b"1")
    _, status = os.waitpid(pid, 0)
    print("armed", failing.disarm(pid))
    print(f"ended with {os.waitstatus_to_exitcode(status)}")


main()
