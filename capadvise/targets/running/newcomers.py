"""Which processes have begun."""

from __future__ import annotations

import time
from pathlib import Path

from capadvise.kernel import procfs

_LISTED = 1.0
"""Seconds after which a process that has its number is listed, on a machine that is busy."""
_ALWAYS = 5.0
"""Seconds after which all are listed in any case: clone3(2) can choose a number (CRIU)."""


def newest(proc: Path = procfs.PROC) -> int | None:
    """The number that was given away last, to a process or a thread; None where nobody tells. It is
    given a moment before the process is listed."""
    try:
        return int((proc / "loadavg").read_text().split()[4])
    except (OSError, ValueError, IndexError):
        return None


class Newcomers:
    """The processes that have begun since the last look. Where no number was given away for some
    time, their list, which is long on a large machine, is read every few seconds alone."""

    def __init__(self) -> None:
        self._known: set[int] = set()
        self._newest: int | None = None
        self._until = self._again = 0.0

    def look(self) -> set[int]:
        """Those; the first time, all that there are."""
        last, now = newest(), time.monotonic()
        if last is None or last != self._newest:
            self._newest, self._until = last, now + _LISTED
        elif self._until < now < self._again:
            return set()
        self._again = now + _ALWAYS
        before, self._known = self._known, set(procfs.processes())
        return self._known - before
