"""The terminal of this session, and its loss, which SIGHUP tells. Sent by somebody, SIGHUP asks for
a reload."""

from __future__ import annotations

import os
import select
import stat

from capadvise.kernel import procfs


def has_terminal() -> bool:
    """Whether this process has a controlling terminal: where it was closed, no more."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def leads_without_terminal() -> bool:
    """Whether this process leads a session that has no terminal, as what systemd starts does."""
    return os.getsid(0) == os.getpid() and not has_terminal()


def relays(sender: int) -> bool:
    """Whether a process passes on what the terminal has told it: sudo runs its command on another
    one."""
    return procfs.comm(sender) == "sudo"


def let_go_of_terminal() -> None:
    """Input and output are nowhere, where they were a terminal that is gone: each further word
    would be an error."""
    nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for fd in (0, 1, 2):
        if _is_gone(fd):
            os.dup2(nowhere, fd)
    os.close(nowhere)


def _is_gone(fd: int) -> bool:
    try:
        is_device = stat.S_ISCHR(os.fstat(fd).st_mode)
    except OSError:
        return False
    watched = select.poll()
    watched.register(fd, 0)
    return is_device and any(event & select.POLLHUP for _, event in watched.poll(0))
