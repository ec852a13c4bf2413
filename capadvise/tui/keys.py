"""The bottom line with the keys that would do something now, and the keys of every list."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding
from textual.screen import Screen
from textual.widgets import Footer, OptionList


class Listing(OptionList):
    """A list; j and k move in it, too."""

    BINDINGS: ClassVar = [
        Binding("j", "cursor_down", "Down", show=False),
        Binding("k", "cursor_up", "Up", show=False),
    ]


class Keys(Footer):
    """Textual's line, drawn anew only where the keys are others: that takes three layouts, and
    every change of the focus asks for it."""

    _drawn: object = None

    def bindings_changed(self, screen: Screen[object]) -> None:
        """Something may have changed in which keys there are."""
        there = [
            (binding.key, binding.description, enabled)
            for _, binding, enabled, _ in screen.active_bindings.values()
            if binding.show
        ]
        now = (there, self.show_command_palette)
        if now != self._drawn and screen.app.app_focus and screen is self.screen:
            self._drawn = now
            super().bindings_changed(screen)
