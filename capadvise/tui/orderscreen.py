"""The commands that a saved report would run, before its first trial."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.screen import ModalScreen
from textual.widgets import Static

from capadvise.tui.page import Page
from capadvise.tui.widgets import Fitting, KeyedScroll, Keys


class OrderScreen(Fitting, ModalScreen[bool]):
    """Returns True if the user wants it to run."""

    BINDINGS: ClassVar = [
        Binding("enter", "close(True)", "Run it", id="run-order"),
        Binding("escape,q", "close(False)", "Cancel", id="cancel-order"),
    ]

    def __init__(self, lines: Sequence[str]) -> None:
        """``lines``: safe to print."""
        super().__init__()
        self._lines = lines

    def compose(self) -> ComposeResult:
        page = Page()
        page.say("The trials run what stands in this report, with your rights. Is it yours?")
        page.gap()
        for line in self._lines:
            page.say(line)
        with KeyedScroll(id="order") as box:
            box.border_title, box.border_subtitle = "What will run", "enter runs it, esc cancels"
            yield Static(page, markup=False)
        yield Keys()

    def action_close(self, agreed: bool) -> None:
        self.dismiss(agreed)
