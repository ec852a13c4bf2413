"""The one door for files that users name: nothing that never begins, or never ends, is waited for.

Regular files are read, and pipes that somebody writes to: ``<(command)``, ``/dev/stdin``. Devices
and sockets are refused, a pipe without a writer at once, and one that is silent after a while.
"""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from capadvise.model.errors import BadInput

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

PATIENCE = 60.0
"""Seconds for which a pipe may be silent."""
_NAME_A_FILE = "write what you mean into a file, and name that"


def opened(path: str | Path | int) -> io.BufferedReader:
    """Open a file, or a descriptor of ours. Raises OSError, and BadInput for what is no file."""
    if isinstance(path, int):
        if not stat.S_ISSOCK((status := os.fstat(path)).st_mode):  # below ssh it is one
            _refuse_others("standard input", status)
        return io.BufferedReader(_Patient("standard input", os.dup(path)))
    _refuse_others(str(path), os.stat(path))  # opening a device can already change it
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        _refuse_others(str(path), os.fstat(fd))
        return io.BufferedReader(_Patient(str(path), fd))
    except BaseException:
        os.close(fd)
        raise


def content(path: str | Path | int, most: int) -> bytes:
    """All of a file, up to ``most`` bytes and one more: then it is too large. Raises as ``opened``
    does."""
    with opened(path) as file:
        return file.read(most + 1)


def _refuse_others(name: str, status: os.stat_result) -> None:
    """Raise BadInput for a socket, and a device that is neither /dev/null nor our terminal."""
    mode, kind = status.st_mode, None
    if stat.S_ISSOCK(mode):
        kind = "a socket"
    elif stat.S_ISBLK(mode) or (stat.S_ISCHR(mode) and status.st_rdev not in _harmless()):
        kind = "a device"
    if kind is not None:
        raise BadInput(f"{name}: {kind}, which is not read as a file", hint=_NAME_A_FILE)


def _harmless() -> set[int]:
    """The devices that end: /dev/null, and the terminal that we were started on."""
    return {os.makedev(1, 3), *([os.fstat(0).st_rdev] if os.isatty(0) else [])}


class _Patient(io.FileIO):
    """A file whose bytes are waited for, but not for ever."""

    def __init__(self, name: str, fd: int) -> None:
        super().__init__(fd)
        self._named = name
        mode = os.fstat(fd).st_mode
        self._may_be_empty = not stat.S_ISFIFO(mode)
        self._patience = 0.0 if stat.S_ISREG(mode) else None if self.isatty() else PATIENCE

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read what is there, or wait for it. Raises BadInput."""
        count = None if os.get_blocking(self.fileno()) else super().readinto(buffer)
        while count is None:
            self._wait()
            count = super().readinto(buffer)
        if not count and not self._may_be_empty:
            raise BadInput(
                f"{self._named}: an empty pipe, which nobody writes to",
                hint=f"start its writer first, or {_NAME_A_FILE}",
            )
        self._may_be_empty = True
        return count

    def _wait(self) -> None:
        """Wait for bytes or the end: a pipe for a while, a user who types for ever."""
        import select  # few files are pipes

        poll = select.poll()
        poll.register(self.fileno(), select.POLLIN)
        if not poll.poll(None if self._patience is None else self._patience * 1000):
            raise BadInput(
                f"{self._named}: it has not ended, and nothing came for {self._patience:.0f} s",
                hint=_NAME_A_FILE,
            )
