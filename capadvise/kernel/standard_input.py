"""What capadvise itself was given to read, and so what it runs: trials begin with the same file.

What comes through a pipe is gone once it is read, and reading ahead would take it from others who
read there, too: of that it is only said that trials do not have it.
"""

from __future__ import annotations

import fcntl
import os
import select
import stat
from collections.abc import Mapping

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
        if stat.S_ISREG(mode) and _readable():
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
    """Where in the file a trial begins; None: there is none."""
    return int(before[_FILE]) if _FILE in before else None


def cautions(before: Mapping[str, str], *, of_container: bool = False) -> tuple[str, ...]:
    """After the recording: whether it could read what trials do not have. Nothing is said where
    nobody has written, as below ssh. Trials of a container have no input at all."""
    told = before.get(_PIPE)
    read = told == _DATA or (told == _IDLE and _events() != 0)
    if of_container:
        return (_NO_INPUT,) if read or _FILE in before else ()
    return (_NO_PIPE,) if read else ()


def _readable() -> bool:
    return fcntl.fcntl(_STDIN, fcntl.F_GETFL) & os.O_ACCMODE != os.O_WRONLY


def _events() -> int:
    """What poll(2) says: something to read, or no writer any more."""
    poll = select.poll()
    poll.register(_STDIN, select.POLLIN)
    return next((events for _, events in poll.poll(0)), 0)
