"""The application: its theme, its signals and the command palette. The screen does the rest."""

import gc
import os
import signal
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from textual.app import SystemCommand
from textual.binding import Binding
from textual.events import Event, InputEvent
from textual.screen import Screen
from textual.theme import Theme

from capadvise.tui.driver import TerminalApp, gone
from capadvise.tui.early import EarlyKeys
from capadvise.tui.main import Main
from capadvise.tui.theme import remember

_BETWEEN_KEYS = 0.03
"""Seconds that a key may take to move the focus."""


class CapadviseApp(TerminalApp[None]):
    """Shows the screen, and others over it for a moment."""

    TITLE = "capadvise"
    BINDINGS: ClassVar = [
        Binding("question_mark,f1", "help", "Help", tooltip="This help", id="help"),
    ]

    def __init__(
        self,
        first: Callable[[], Main],
        *,
        theme: Theme | None = None,
        chosen: str | None = None,
        keys: dict[str, str] | None = None,
        early: EarlyKeys | None = None,
    ) -> None:
        """``first`` makes the screen; ``chosen``: a theme that the user chose some other time,
        ``keys``: keys of their own."""
        super().__init__(theme, early)
        if chosen in self.available_themes:
            self.theme = chosen
        self._first = first
        self._held: list[Event] | None = []
        """Keys that came before the screen; None once it is there."""
        if keys:
            self.set_keymap(keys)

    def get_default_screen(self) -> Main:
        return self._first()

    async def on_event(self, event: Event) -> None:
        """Hold keys back until the screen is there."""
        if self._held is not None and isinstance(event, InputEvent):
            self._held.append(event)
        else:
            await super().on_event(event)

    async def on_begun(self) -> None:
        """Replay the keys, each when the one before has moved the focus."""
        if self._held:
            await super().on_event(self._held.pop(0))
            self.set_timer(_BETWEEN_KEYS, self.on_begun)
        else:
            self._held = None

    @property
    def main(self) -> Main:
        """The screen, which may be below others."""
        return next(screen for screen in self.screen_stack if isinstance(screen, Main))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys that work everywhere do not while the user types into the target."""
        ours = action in ("quit", "help", "help_quit", "command_palette", "suspend_process")
        return not (ours and self._screen_stack and self.main.takes_keys)

    def on_mount(self) -> None:
        gc.freeze()  # a recording can be a million objects, and none of them will be garbage
        gc.enable()
        self.end_on_signals()
        if not self.is_headless:
            self.set_interval(1.0, self._look_for_terminal)
            self.theme_changed_signal.subscribe(self, self._theme_changed)

    def _theme_changed(self, theme: Theme) -> None:
        if theme.name != self.terminal_theme.name:
            remember(theme=theme.name)

    def _end(self, number: int) -> None:
        self.main.action_leave(128 + number)

    def _look_for_terminal(self) -> None:
        """End if the terminal was closed: its signal may have gone to another handler."""
        if gone():
            self._end(signal.SIGHUP)

    async def action_quit(self) -> None:
        """End the target, then leave."""
        self.main.action_leave()

    def action_help(self) -> None:
        """The keys of the tab that is shown."""
        if self.screen is self.main:
            self.main.action_help()

    def deliver_screenshot(
        self, filename: str | None = None, path: str | None = None, time_format: str | None = None
    ) -> str | None:
        """Save it in the working directory: root has no folder for downloads."""
        name = filename or f"capadvise-{datetime.now():%Y%m%d-%H%M%S}.svg"
        target = Path(path or os.curdir) / name
        try:
            target.write_text(self.export_screenshot(), encoding="utf-8")
        except OSError as error:
            self.notify(f"{target}: {error.strerror}", severity="error", markup=False)
            return None
        self.notify(f"Screenshot: {target}", markup=False)
        return str(target)

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """Our actions, without those that would do nothing now, and those of Textual's that we do
        not have. The palette sorts them by name."""
        if isinstance(screen, Main):
            yield from screen.offers()
        for command in super().get_system_commands(screen):
            if command.title in ("Theme", "Screenshot"):
                yield command._replace(title=f"view: {command.title.lower()}")
