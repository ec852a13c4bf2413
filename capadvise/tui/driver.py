"""The terminal under the screens: the app and the driver that all of them use.

Textual's own driver is not made for a terminal that is closed: it waits for ever for a thread that
died of the first failed write, and takes the SIGCONT of a closing terminal for the end of a
suspension. It also takes a key right behind Escape for Alt with that key, or for another key,
although a program in the pane wants both.
"""

import asyncio
import codecs
import contextlib
import os
import re
import select
import signal
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, ClassVar, TextIO, TypeVar, cast

from textual import app, on
from textual._xterm_parser import XTermParser
from textual.app import App
from textual.await_complete import AwaitComplete
from textual.command import CommandPalette
from textual.driver import Driver
from textual.drivers import linux_driver
from textual.drivers.linux_driver import LinuxDriver
from textual.message import Message
from textual.theme import BUILTIN_THEMES, Theme
from textual.widgets import Input, OptionList

from capadvise.tui.early import EarlyKeys

_TO_ESCAPE = re.compile(r"[^\x1b]*\x1b|[^\x1b]+")
_INTRODUCERS = "\x1b[O"
"""The characters after Escape with which a terminal begins a sequence."""
_ENDING = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
"""The signals that end an app: a closed terminal sends the first."""


class KeyParser(XTermParser):
    """Turns what a terminal sends into keys."""

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


def _forgiving(encoding: str) -> Callable[[], codecs.IncrementalDecoder]:
    """A decoder that replaces what it cannot read."""
    return partial(codecs.getincrementaldecoder(encoding), "replace")


def gone(fd: int = 0) -> bool:
    """True if a terminal was closed."""
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

    def _get_terminal_size(self) -> tuple[int, int]:
        """Ask the terminal itself: an exported LINES stays what it was when the window changes."""
        with contextlib.suppress(OSError):
            columns, lines = os.get_terminal_size(self.fileno)
            if columns and lines:
                return columns, lines
        return super()._get_terminal_size()

    def start_application_mode(self) -> None:
        """Leave the terminal at the end as it was before ``early_keys``, not before this call."""
        early, self._early = self._early, None
        self._typed = early.take() if early is not None else ""
        super().start_application_mode()  # type: ignore[no-untyped-call]
        if early is not None:
            self.attrs_before = early.mode

    def run_input_thread(self) -> None:
        """Use our parser, and give it first what was typed before. Bytes that are not UTF-8
        (a pasted file of Latin-1) are no reason to end."""
        linux_driver.XTermParser = KeyParser  # type: ignore[attr-defined]
        linux_driver.getincrementaldecoder = _forgiving  # type: ignore[attr-defined,assignment]
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
        """Handle a signal when nothing else runs. The code that it interrupts can hold the lock of
        the output, for which the handler would wait for ever."""
        self._loop.call_soon_threadsafe(handle)


Result = TypeVar("Result")


class PatientPalette(CommandPalette):
    """Textual's command palette, for a user who types faster than it draws: it takes keys before it
    is laid out, and when it is already left."""

    _left = False

    def _action_command_list(self, action: str) -> None:
        """Move in the list, which has no lines before it is laid out."""
        with contextlib.suppress(AttributeError, KeyError):
            super()._action_command_list(action)

    @on(Input.Submitted)
    @on(OptionList.OptionSelected)
    def _once(self, event: Input.Submitted | OptionList.OptionSelected) -> None:
        """Run one command, although Enter was pressed twice."""
        if self._left:
            event.prevent_default().stop()

    def dismiss(self, result: None = None) -> AwaitComplete:
        """Leave, once."""
        if self._left:
            return AwaitComplete()
        self._left = True
        return super().dismiss(result)


class TerminalApp(App[Result]):
    """An app in the look of its terminal."""

    CSS_PATH: ClassVar = ["capadvise.tcss"]

    def __init__(self, look: Theme | None = None, early: EarlyKeys | None = None) -> None:
        """``early``: what was typed already."""
        self.terminal_theme = look or BUILTIN_THEMES["textual-dark"]
        app.CommandPalette = PatientPalette  # type: ignore[attr-defined]
        super().__init__(ansi_color=self.terminal_theme.ansi or None)  # decides what NO_COLOR does
        self.register_theme(self.terminal_theme)
        self.theme = self.terminal_theme.name
        self.early = early

    def get_driver_class(self) -> type[Driver]:
        return TerminalDriver

    def end_on_signals(self) -> None:
        """From now on, signals end the app in order."""
        for number in _ENDING:
            asyncio.get_running_loop().add_signal_handler(number, self._end, number)

    def on_unmount(self) -> None:
        for number in _ENDING:
            asyncio.get_running_loop().remove_signal_handler(number)

    def _end(self, number: int) -> None:
        self.exit()
