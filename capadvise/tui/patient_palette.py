"""Textual's command palette, for a user who types faster than it draws."""

from __future__ import annotations

from contextlib import suppress

from textual import app, on
from textual.await_complete import AwaitComplete
from textual.command import CommandPalette
from textual.widgets import Input, OptionList


class PatientPalette(CommandPalette):
    """Takes keys before it is laid out, and when it is already left."""

    _left = False

    def _action_command_list(self, action: str) -> None:
        """Move in the list, which has no lines before it is laid out."""
        with suppress(AttributeError, KeyError):
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


def use() -> None:
    """Let all apps open this palette."""
    app.CommandPalette = PatientPalette  # type: ignore[attr-defined]
