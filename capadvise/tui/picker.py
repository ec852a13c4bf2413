"""The list of saved reports, from which the user chooses one to review. The latest comes first."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.theme import Theme
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from capadvise.model.escape import printable
from capadvise.tui.driver import TerminalApp
from capadvise.tui.early import EarlyKeys
from capadvise.tui.widgets import KeyedList, Keys


class Reports(KeyedList):
    """The list, which names what Enter does: the key is the list's."""

    BINDINGS: ClassVar = [Binding("enter", "select", "Review", id="pick")]


class Picker(TerminalApp[Path]):
    """Returns the chosen report, or None."""

    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar = [
        Binding("q,escape,ctrl+c", "leave", "Quit", key_display="q", id="leave-picker"),
    ]

    def __init__(
        self, reports: Sequence[tuple[Path, float]], theme: Theme, early: EarlyKeys | None = None
    ) -> None:
        """``reports``: with the time when each was saved; ``early``: what was typed already."""
        super().__init__(theme, early)
        self._reports = reports

    def compose(self) -> ComposeResult:
        rows = Reports(
            *(
                Option(
                    Content.assemble(
                        (f"{time.strftime('%Y-%m-%d %H:%M', time.localtime(when))}  ", "dim"),
                        printable(path.name.removesuffix(".json")),
                    )
                )
                for path, when in self._reports
            ),
            id="reports",
            markup=False,
        )
        rows.border_title = f"Reports in {printable(str(self._reports[0][0].parent))}"
        yield rows
        yield Keys()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self.exit(self._reports[event.option_index][0])

    def action_leave(self) -> None:
        self.exit(None)
