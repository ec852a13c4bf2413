"""The terminal of capadvise and its standard input: trials read the same file from the same place.

Input from a pipe is gone once it is read, and reading ahead would take it from other readers: the
report only says that trials did not have it.
"""

import fcntl
import os
import select
import stat
from collections.abc import Mapping

from capadvise.kernel import procfs

_STDIN = 0
_FILE, _PIPE = "stdin:file", "stdin:pipe"
_DATA, _IDLE = "data", "idle"

_NO_PIPE = (
    "the recorded run could read from a pipe, and the trials had no input: use a file instead "
    "(< FILE), which they read, too"
)
_NO_INPUT = (
    "the recorded container could read standard input, and the trials had none: put the input into "
    "a file that the container mounts, and let its command read that"
)


def state() -> dict[str, str]:
    """Before a recording: where in a file it begins, or whether a pipe has something to read."""
    try:
        mode = os.fstat(_STDIN).st_mode
        how = fcntl.fcntl(_STDIN, fcntl.F_GETFL) & os.O_ACCMODE
        if stat.S_ISREG(mode) and how != os.O_WRONLY:
            return {_FILE: str(os.lseek(_STDIN, 0, os.SEEK_CUR))}
    except OSError:  # it is closed
        return {}
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        return {}
    events = _events()
    if events & select.POLLIN:
        return {_PIPE: _DATA}
    return {} if events & select.POLLHUP else {_PIPE: _IDLE}


def offset(before: Mapping[str, str]) -> int | None:
    """The offset in the file from which a trial reads; None if standard input is no file."""
    return int(before[_FILE]) if _FILE in before else None


def cautions(before: Mapping[str, str], *, of_container: bool = False) -> tuple[str, ...]:
    """After the recording: cautions if it could read input that trials lack. There is none if
    nobody wrote, as below ssh. Trials of a container have no input at all."""
    told = before.get(_PIPE)
    read = told == _DATA or (told == _IDLE and _events() != 0)
    if of_container:
        return (_NO_INPUT,) if read or _FILE in before else ()
    return (_NO_PIPE,) if read else ()


def _events() -> int:
    """The events of poll(2): something to read, or no writer any more."""
    poll = select.poll()
    poll.register(_STDIN, select.POLLIN)
    return next((events for _, events in poll.poll(0)), 0)


def has_terminal() -> bool:
    """True if this process has a controlling terminal that was not closed."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def leads_without_terminal() -> bool:
    """True if this process leads a session without a terminal, like a process that systemd
    starts."""
    return os.getsid(0) == os.getpid() and not has_terminal()


def relays(sender: int) -> bool:
    """True if a process passes on the signals of its terminal: sudo runs its command on another
    one."""
    return procfs.comm(sender) == "sudo"


def replace_dead_streams() -> None:
    """Redirect the standard streams to /dev/null if their terminal is gone: each further write
    would fail."""
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
