"""The one door for files that users name: nothing that never begins, or never ends, is waited for.

Regular files are read, and pipes that the user names and somebody writes to: ``<(command)``,
``/dev/stdin``. Devices and sockets are refused, a pipe without a writer at once, and one that is
silent after a while. Nothing is read of a file that is larger than the reader wants.
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

MAX_BYTES = 16 << 20
"""Nobody maintains a larger configuration by hand."""
PATIENCE = 60.0
"""Seconds for which a pipe may be silent."""
_NAME_A_FILE = "write what you mean into a file, and name that"


def opened(path: str | Path | int, *, pipes: bool = True) -> io.BufferedReader:
    """Open a file, or a descriptor of ours. ``pipes``: the user named it, so a pipe is meant; but a
    link among the user's files that leads to one is not. Raises OSError, and BadInput for what is
    no file."""
    if isinstance(path, int):
        if not stat.S_ISSOCK((status := os.fstat(path)).st_mode):  # below ssh it is one
            _refuse_others(_called(path), status, pipes=True)
        return io.BufferedReader(_Patient(_called(path), os.dup(path)))
    by_link = os.path.islink(path) and not str(path).startswith(("/dev/", "/proc/"))
    pipes = pipes and not by_link
    _refuse_others(str(path), os.stat(path), pipes=pipes)  # opening a device can already change it
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        _refuse_others(str(path), os.fstat(fd), pipes=pipes)
        return io.BufferedReader(_Patient(str(path), fd))
    except BaseException:
        os.close(fd)
        raise


def content(path: str | Path | int, most: int, *, pipes: bool = True) -> bytes:
    """All of a file. Raises as ``opened`` does, and BadInput if it has more than ``most`` bytes."""
    with opened(path, pipes=pipes) as file:
        fits = os.fstat(file.fileno()).st_size <= most
        data = file.read(most + 1) if fits else b""
    if not fits or len(data) > most:
        raise BadInput(f"{_called(path)}: too large: the limit is {most:,} bytes")
    return data


def data(path: str | Path | int, most: int = MAX_BYTES, *, pipes: bool = True) -> bytes:
    """The same. Raises BadInput also for what cannot be read."""
    try:
        return content(path, most, pipes=pipes)
    except OSError as error:
        raise BadInput(f"{_called(path)}: {error.strerror}") from error


def text(path: str | Path | int, most: int = MAX_BYTES, *, pipes: bool = False) -> str:
    """All of a configuration, with its line ends. Raises BadInput for what is no text, or cannot be
    read."""
    return decoded(data(path, most, pipes=pipes), path)


def decoded(content: bytes, path: str | Path | int) -> str:
    """The text of a file. Raises BadInput for what is no text."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(f"{_called(path)}: not UTF-8") from error


def _called(path: str | Path | int) -> str:
    return "standard input" if isinstance(path, int) else str(path)


def _refuse_others(name: str, status: os.stat_result, *, pipes: bool) -> None:
    """Raise BadInput for a socket, and for a device other than /dev/null and, where a pipe may be
    meant, our terminal."""
    mode, kind = status.st_mode, None
    if stat.S_ISSOCK(mode):
        kind = "a socket"
    elif stat.S_ISFIFO(mode) and not pipes:
        kind = "a pipe"
    elif stat.S_ISBLK(mode) or (stat.S_ISCHR(mode) and status.st_rdev not in _harmless(pipes)):
        kind = "a device"
    if kind is not None:
        raise BadInput(f"{name}: {kind}, which is not read as a file", hint=_NAME_A_FILE)


def _harmless(pipes: bool) -> set[int]:
    """The devices that end: /dev/null, and the terminal that we were started on."""
    return {os.makedev(1, 3), *([os.fstat(0).st_rdev] if pipes and os.isatty(0) else [])}


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
