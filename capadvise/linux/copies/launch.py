"""Starting the process that makes copies, and handing it the target's calls.

In the guardian, and in the target before its exec. The standard library alone: the launcher takes
part, beside python-prctl.
"""

from __future__ import annotations

import os
import signal
import socket
from contextlib import suppress
from typing import NoReturn

from capadvise.linux.kernel import json_lines, libc


def begin(report: int) -> tuple[int, int]:
    """Fork the copier, which sends its messages to ``report``. Returns its pid, and where the
    target's listener is to be handed in; it ends when nobody is there who could."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        theirs.close()
        _be_copier(ours, report)
    ours.close()
    return pid, theirs.detach()


def _be_copier(given: socket.socket, report: int) -> NoReturn:
    status = 1
    try:
        os.setsid()
        _forget({given.fileno(), report})
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(number, signal.SIG_IGN)  # they are for the target; the guardian kills us
        with suppress(OSError):
            libc.call_this_process("copier", "capadvise copier")
        _, fds, _, _ = socket.recv_fds(given, 1, 1)
        given.close()
        if fds:
            from capadvise.linux.copies.copier import serve  # no target waits for it

            serve(fds[0], report)
        status = 0
    except BaseException as error:
        json_lines.send(report, {"failed": str(error) or repr(error)})
    finally:
        os._exit(status)


def _forget(kept: set[int]) -> None:
    """Whoever reads a pipe behind the target, or waits for the guardian, need not wait for us."""
    for fd in map(int, os.listdir("/proc/self/fd")):
        if fd not in kept:
            with suppress(OSError):  # the list's own
                os.close(fd)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        if fd not in kept:
            os.dup2(nowhere, fd)


def install(code: bytes, give: int) -> None:
    """Let the calling thread's calls pass through this filter, and hand in who is asked. Where that
    cannot be (a kernel before 5.19, or another listener above), no copies are made."""
    with socket.socket(fileno=give) as theirs, suppress(OSError):
        listener = libc.install_listening_filter(code)
        socket.send_fds(theirs, [b"l"], [listener])
        os.close(listener)
