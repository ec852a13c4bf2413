"""A terminal of the target's own: its output, and its keys.

The target sits at the inner end of a pty. A thread reads the outer end as fast as the target
writes, so that no reader of the output ever slows the target down.
"""

import contextlib
import fcntl
import os
import platform
import pty
import select
import struct
import termios
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

KEPT = 256 << 10
"""The most bytes of output that wait for their reader (of more, the end is kept), and of keys that
wait for a target that does not read (of more, the beginning is kept)."""
_SANE = b"\x1b[?1049l\x1b[?1000;1002;1003;1006;2004;1l\x1b[?7h\x1b[?25h\x1b>\x1b[0m\x1b[r"
"""Ends the modes of mouse, paste and cursor that a killed screen may have left on."""
_READ = "0" if platform.machine() == "x86_64" else "63"
_ANY_TERMINAL = os.makedev(5, 0)
"""/dev/tty: whichever the program has."""
_MOST = 64
"""Processes that are looked at."""


class Pty:
    """The pty. ``inner`` is the target's end, which it gets by ``Command.terminal``."""

    def __init__(self) -> None:
        """Make it like the terminal that we were started on, before that is put into another
        mode."""
        self.fd, self.inner = pty.openpty()
        self._device = os.fstat(self.inner).st_rdev
        os.set_blocking(self.fd, False)  # typing never waits for a target that does not read
        self._before: list[Any] | None = None
        with contextlib.suppress(termios.error):  # erase and interrupt keys as the user has them
            self._before = termios.tcgetattr(0)
            termios.tcsetattr(self.inner, termios.TCSANOW, self._before)
        self._kept = bytearray()
        self._typed = bytearray()
        self._keys_wait = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._lock = threading.Lock()

    def start(self, columns: int, rows: int) -> None:
        """Begin to read."""
        self.resize(columns, rows)
        threading.Thread(target=self._read, daemon=True, name="output").start()

    def resize(self, columns: int, rows: int) -> None:
        """Another size; the kernel sends SIGWINCH to the target."""
        with contextlib.suppress(OSError):
            fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))

    def type(self, data: bytes) -> None:
        """Keys for the target."""
        with self._lock:
            self._typed += data[: KEPT - len(self._typed)]
        self._deliver()
        if self._typed:
            os.eventfd_write(self._keys_wait, 1)

    def _deliver(self) -> None:
        with self._lock, contextlib.suppress(OSError):
            if self._typed:
                del self._typed[: os.write(self.fd, self._typed)]

    def output(self) -> bytes:
        """The output since the last call."""
        with self._lock:
            data, self._kept = bytes(self._kept), bytearray()
        return data

    @property
    def wants_keys(self) -> bool:
        """True if a program takes single keys, since it has switched line editing off as shells and
        full-screen programs do; or if it waits for a line."""
        try:
            mode = termios.tcgetattr(self.fd)[3]
        except termios.error:
            return False
        return not mode & termios.ICANON or _waits_for_line(self.fd, self._device)

    def _read(self) -> None:
        while data := self._written():
            with self._lock:
                self._kept += data
                if len(self._kept) > KEPT:
                    del self._kept[:-KEPT]

    def _written(self) -> bytes:
        """Wait for the target's next output; empty at the end."""
        while True:
            waiting = [self.fd] if self._typed else []
            ready, room, _ = select.select([self.fd, self._keys_wait], waiting, [])
            if room:
                self._deliver()
            if self._keys_wait in ready:
                os.eventfd_read(self._keys_wait)
            if self.fd in ready:
                return _read(self.fd)

    def restore(self) -> None:
        """Put the real terminal back as it was, whatever a program has left it in."""
        with contextlib.suppress(OSError, termios.error):
            _write(1, _SANE)
            if self._before is not None:
                termios.tcsetattr(0, termios.TCSAFLUSH, self._before)


def _read(fd: int) -> bytes:
    """The available output; empty at the end, which a terminal reports by EIO."""
    try:
        return os.read(fd, 1 << 16)
    except OSError:
        return b""


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def _waits_for_line(terminal: int, device: int) -> bool:
    """True if a program waits for a line, for example after a question: a process in the foreground
    of a terminal is in read(2) of it. ``terminal``: our end; ``device``: the number of the
    program's."""
    devices = {device, _ANY_TERMINAL}
    with contextlib.suppress(OSError):
        return any(_reads(pid, devices) for pid in _foreground(os.tcgetpgrp(terminal)))
    return False


def _foreground(leader: int) -> Iterator[int]:
    """The leader of a group and what descends from it."""
    todo = [leader]
    for _ in range(_MOST):
        if not todo:
            return
        yield (pid := todo.pop())
        with contextlib.suppress(OSError):
            text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
            todo += map(int, text.split())


def _reads(pid: int, devices: set[int]) -> bool:
    with contextlib.suppress(OSError, ValueError, IndexError):
        words = Path(f"/proc/{pid}/syscall").read_text().split()
        if words[0] == _READ:
            return os.stat(f"/proc/{pid}/fd/{int(words[1], 16)}").st_rdev in devices
    return False
