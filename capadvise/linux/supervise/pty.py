"""A terminal of the target's own: what it writes, what is typed, and the real terminal on loan.

The target sits at the inner end of a pty. A thread reads the outer end as fast as the target
writes, so that nothing that looks at the output ever slows the target down.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import termios
import threading
import tty
from collections.abc import Callable
from typing import Any

KEPT = 256 << 10
"""Bytes of output that wait for whoever looks at them, of more the end; and bytes of keys that wait
for a target that does not read, of more the beginning."""
_LOOK = 0.1
"""Seconds until it is seen that keys wait."""
FULL_SCREEN = re.compile(rb"\x1b\[\?(?:[0-9]+;)*(?:1049|1047|47)(?:;[0-9]+)*h")
"""A program takes the whole screen (xterm's alternate one)."""
_BEGUN = re.compile(rb"\x1b(?:\[(?:\?[0-9;]{0,24})?)?\Z")
"""What can become FULL_SCREEN with the next bytes."""
_SANE = b"\x1b[?1049l\x1b[?1000;1002;1003;1006;2004;1l\x1b[?7h\x1b[?25h\x1b>\x1b[0m\x1b[r"
"""Ends what a full-screen program may have left on: its screen, mouse, paste and cursor modes."""


class Terminal:
    """The pty. ``inner`` is the target's end, which it gets by ``Command.terminal``."""

    def __init__(self) -> None:
        """Made like the terminal that we were started on; before that is put into another mode."""
        self.fd, self.inner = pty.openpty()
        os.set_blocking(self.fd, False)  # who types never waits for a target that does not read
        self._before: list[Any] | None = None
        with contextlib.suppress(termios.error):  # erase and interrupt keys as the user has them
            self._before = termios.tcgetattr(0)
            termios.tcsetattr(self.inner, termios.TCSANOW, self._before)
        self.wants_screen = False
        """The target has asked for the whole screen; its output waits for ``lend``."""
        self._kept = bytearray()
        self._held = b""
        self._typed = bytearray()
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

    def _deliver(self) -> None:
        """As many keys as there is room for."""
        with self._lock, contextlib.suppress(OSError):
            if self._typed:
                del self._typed[: os.write(self.fd, self._typed)]

    def output(self) -> bytes:
        """What was written since the last call."""
        with self._lock:
            data, self._kept = bytes(self._kept), bytearray()
        return data

    def _read(self) -> None:
        while not self.wants_screen and (data := self._written()):
            self._held += data
            if found := FULL_SCREEN.search(self._held):
                data, self._held = self._held[: found.start()], self._held[found.start() :]
                self.wants_screen = True
            else:
                begun = _BEGUN.search(self._held)
                end = begun.start() if begun else len(self._held)
                data, self._held = self._held[:end], self._held[end:]
            with self._lock:
                self._kept += data
                if len(self._kept) > KEPT:
                    del self._kept[:-KEPT]

    def _written(self) -> bytes:
        """What the target writes next; nothing at the end."""
        while True:
            waiting = [self.fd] if self._typed else []
            ready, room, _ = select.select([self.fd], waiting, [], _LOOK)
            if room:
                self._deliver()
            if ready:
                return _read(self.fd)

    def lend(self, ended: Callable[[], bool]) -> None:
        """Give the target the real terminal until it has ended, or the terminal is gone."""
        tty.setraw(0)
        try:
            self._fit()
            _write(1, self._held)
            self._relay(ended)
        finally:
            self.restore()

    def restore(self) -> None:
        """Put the real terminal back as it was, whatever a program has left it in."""
        with contextlib.suppress(OSError, termios.error):
            _write(1, _SANE)
            if self._before is not None:
                termios.tcsetattr(0, termios.TCSAFLUSH, self._before)

    def _relay(self, ended: Callable[[], bool]) -> None:
        while True:
            keys, waiting = ([], [self.fd]) if self._typed else ([0], [])
            ready, room, _ = select.select([*keys, self.fd], waiting, [], 0.1)
            self._fit()
            if room:
                self._deliver()
            if 0 in ready:
                if not (typed := _read(0)):
                    return
                self.type(typed)
            if self.fd in ready:
                if not (data := _read(self.fd)):
                    return
                _write(1, data)
            elif ended():
                return

    def _fit(self) -> None:
        """The size of the real terminal."""
        with contextlib.suppress(OSError):
            size = os.get_terminal_size(1)
            if struct.unpack("4H", fcntl.ioctl(self.fd, termios.TIOCGWINSZ, b"\0" * 8))[:2] != (
                size.lines,
                size.columns,
            ):
                self.resize(size.columns, size.lines)


def _read(fd: int) -> bytes:
    """What is there; nothing at the end, which a terminal tells by EIO."""
    try:
        return os.read(fd, 1 << 16)
    except OSError:
        return b""


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
