"""The terminal under the screens, and what Textual's own driver lacks: that it may go away.

Where the terminal is closed, that driver waits for ever for a thread that died of the first failed
write. And a closing terminal sends SIGCONT, which it takes for the end of a suspension.
"""

from __future__ import annotations

import contextlib
import select
from typing import Any, TextIO, cast

from textual.drivers.linux_driver import LinuxDriver


class _MayBeGone:
    """A file that swallows what can no longer be written."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._file.write(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._file.flush()

    def fileno(self) -> int:
        return self._file.fileno()


def gone(fd: int = 0) -> bool:
    """Whether a terminal was closed."""
    watched = select.poll()
    watched.register(fd, 0)
    return any(event & select.POLLHUP for _, event in watched.poll(0))


class TerminalDriver(LinuxDriver):
    """The driver of Linux terminals, closed ones included."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._file: Any = _MayBeGone(cast(TextIO, self._file))

    def _sigcont_application(self, *arguments: Any) -> None:
        if self._must_signal_resume:  # it was suspended before
            super()._sigcont_application(*arguments)
