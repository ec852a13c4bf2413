"""The application: its look, its signals and the command palette. What there is to see is up to
the views: the review of a report, or a recording that becomes one."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, ClassVar

from textual.actions import parse
from textual.app import App, SystemCommand
from textual.binding import Binding
from textual.driver import Driver
from textual.screen import Screen
from textual.theme import BUILTIN_THEMES, Theme
from textual.widgets import HelpPanel

from capadvise.tui.driver import TerminalDriver, gone

_ENDING = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
"""What a closed terminal sends, and what somebody sends who wants us to end."""


class View(Screen[None]):
    """A screen that fills the terminal, with actions of its own."""

    OFFERS: ClassVar[tuple[tuple[str, str, str], ...]] = ()
    """Name, action and explanation, for the palette."""

    @property
    def takes_keys(self) -> bool:
        """Whether all keys are somebody else's now."""
        return False

    def offers(self) -> Iterator[SystemCommand]:
        """What the palette has for this view: all that would do something now."""
        for name, action, said in self.OFFERS:
            _, verb, parameters = parse(action)
            if self.check_action(verb, parameters):
                yield SystemCommand(name, said, partial(self.run_action, action))

    def leave(self, code: int = 0) -> None:
        """End what is under way, and the application with this exit code."""
        self.app.exit(return_code=code)


class CapadviseApp(App[None]):
    """Shows a view, and those that it leads to."""

    TITLE = "capadvise"
    CSS_PATH: ClassVar = ["review.tcss", "live.tcss"]
    BINDINGS: ClassVar = [
        Binding("question_mark,f1", "help", "Help", tooltip="All keys", id="help"),
        Binding("q", "quit", "Quit", id="quit"),
    ]

    def __init__(self, first: Callable[[], View], *, theme: Theme | None = None) -> None:
        """``first`` makes the view to begin with."""
        self._look = theme or BUILTIN_THEMES["textual-dark"]
        super().__init__(ansi_color=self._look.ansi or None)  # decides what NO_COLOR does
        self.register_theme(self._look)
        self.theme = self._look.name
        self._first = first

    def get_default_screen(self) -> View:
        """The view to begin with."""
        return self._first()

    @property
    def view(self) -> View:
        """The view that is shown, below what may lie over it."""
        return next(screen for screen in reversed(self.screen_stack) if isinstance(screen, View))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys that work everywhere do not where all keys are somebody else's."""
        ours = action in ("quit", "help", "command_palette")
        return not (ours and self._screen_stack and self.view.takes_keys)

    def get_driver_class(self) -> type[Driver]:
        """A terminal can go away."""
        return TerminalDriver

    def on_mount(self) -> None:
        """Signals are to end it in order."""
        gc.freeze()  # a recording can be a million objects, and none of them will be garbage
        loop = asyncio.get_running_loop()
        for number in _ENDING:
            loop.add_signal_handler(number, self._end, number)
        if not self.is_headless:
            self.set_interval(1.0, self._look_for_terminal)

    def on_unmount(self) -> None:
        """The signals are somebody else's again."""
        for number in _ENDING:
            asyncio.get_running_loop().remove_signal_handler(number)

    def _end(self, number: int) -> None:
        self.view.leave(128 + number)

    def _look_for_terminal(self) -> None:
        """The signal may have been for somebody else."""
        if gone():
            self._end(signal.SIGHUP)

    async def action_quit(self) -> None:
        """Leave; nothing goes on behind the user's back."""
        self.view.leave()

    def action_help(self) -> None:
        """Show or hide all keys."""
        if self.screen.query(HelpPanel):
            self.action_hide_help_panel()
        else:
            self.action_show_help_panel()

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """Every action, by area; those that would do nothing are left out."""
        yield from super().get_system_commands(screen)
        if isinstance(screen, View):
            yield from screen.offers()
