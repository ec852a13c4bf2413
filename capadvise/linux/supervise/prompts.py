"""Whether a program waits for a line from its terminal, as one does that has asked something."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_READ = "0" if platform.machine() == "x86_64" else "63"
_ANY_TERMINAL = os.makedev(5, 0)
"""/dev/tty: whichever the program has."""
_MOST = 64
"""Processes that are looked at."""


def is_read(terminal: int, device: int) -> bool:
    """Whether a process in the foreground of a terminal is in read(2) of it. ``terminal``: our end
    of it; ``device``: the number of the program's."""
    devices = {device, _ANY_TERMINAL}
    with suppress(OSError):
        return any(_reads(pid, devices) for pid in _foreground(os.tcgetpgrp(terminal)))
    return False


def _foreground(leader: int) -> Iterator[int]:
    """The leader of a group and what descends from it."""
    todo = [leader]
    for _ in range(_MOST):
        if not todo:
            return
        yield (pid := todo.pop())
        with suppress(OSError):
            text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
            todo += map(int, text.split())


def _reads(pid: int, devices: set[int]) -> bool:
    with suppress(OSError, ValueError, IndexError):
        words = Path(f"/proc/{pid}/syscall").read_text().split()
        if words[0] == _READ:
            return os.stat(f"/proc/{pid}/fd/{int(words[1], 16)}").st_rdev in devices
    return False
