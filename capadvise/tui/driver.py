"""The terminal under the screens, and what Textual's own driver lacks: that it may go away, and
that Escape is a key.

Where the terminal is closed, that driver waits for ever for a thread that died of the first failed
write. A closing terminal sends SIGCONT, which it takes for the end of a suspension. And a key right
behind Escape is taken for Alt with that key, or for another one: a program in the pane wants both.
"""

from __future__ import annotations

import contextlib
import re
import select
from collections.abc import Callable, Iterable
from typing import Any, TextIO, cast

from textual._xterm_parser import XTermParser
from textual.drivers import linux_driver
from textual.drivers.linux_driver import LinuxDriver
from textual.message import Message

from capadvise.tui.early import EarlyKeys

_TO_ESCAPE = re.compile(r"[^\x1b]*\x1b|[^\x1b]+")
_INTRODUCERS = "\x1b[O"
"""What follows Escape where a terminal sends a sequence."""


class KeyParser(XTermParser):
    """Makes keys of what a terminal sends."""

    _after_escape = False

    def feed(self, data: str) -> Iterable[Message]:
        """Escape is a key of its own unless a sequence begins with it."""
        for part in _TO_ESCAPE.findall(data) or [data]:
            waits = self._after_escape and self._timeout_time is not None
            if waits and part and part[0] not in _INTRODUCERS:
                self._timeout_time = 0.0  # as if the user had waited
                yield from self.tick()
            self._after_escape = part.endswith("\x1b")
            yield from super().feed(part)


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
        self._early: EarlyKeys | None = getattr(self._app, "early", None)
        self._typed = ""

    def start_application_mode(self) -> None:
        """The terminal will be left as it was before we came, not before the app did."""
        early, self._early = self._early, None
        self._typed = early.take() if early is not None else ""
        super().start_application_mode()  # type: ignore[no-untyped-call]
        if early is not None:
            self.attrs_before = early.mode

    def run_input_thread(self) -> None:
        """With our parser; what was typed before is the first that it is given."""
        linux_driver.XTermParser = KeyParser  # type: ignore[attr-defined]
        parser = KeyParser(self._debug)
        for text in filter(None, (self._typed, "\x1b" * self._typed.endswith("\x1b"))):
            for event in parser.feed(text):
                self.process_message(event)
        super().run_input_thread()

    def _sigtstp_application(self, *_: Any) -> None:
        self._when_idle(super()._sigtstp_application)

    def _sigcont_application(self, *_: Any) -> None:
        if self._must_signal_resume:  # it was suspended before
            self._when_idle(super()._sigcont_application)

    def _when_idle(self, handle: Callable[[], None]) -> None:
        """Not in the middle of whatever the signal interrupts: it can hold the lock of the output,
        for which the handler would wait for ever."""
        self._loop.call_soon_threadsafe(handle)
