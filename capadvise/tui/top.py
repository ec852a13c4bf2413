"""The top line: the screens, and what was recorded."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.events import Click
from textual.widgets import Static

from capadvise.report.escape import printable
from capadvise.report.model import Report

LONGEST = 200
"""Characters of a command line that are worth showing."""


class TabLabel(Static):
    """The name of a screen; a click goes there."""

    def __init__(self, number: int, name: str) -> None:
        super().__init__(Content(f" {number} {name.capitalize()} "), id=f"place-{name}")
        self.place = name

    async def on_click(self, event: Click) -> None:
        """Go there."""
        event.stop()
        await self.screen.run_action(f"go('{self.place}')")


class Top(Horizontal):
    """The line."""

    def __init__(self, report: Report, places: Sequence[str], *, live: bool = False) -> None:
        """``live``: the screen of the recording can be gone back to."""
        super().__init__(id="top")
        self._live = live
        self._report = report
        self._places = places

    def compose(self) -> ComposeResult:
        yield Static(" capadvise ", id="name")
        if self._live:
            yield TabLabel(0, "live")
        for number, name in enumerate(self._places, 1):
            yield TabLabel(number, name)
        yield Static(_run_text(self._report), id="run", markup=False)

    def mark(self, place: str) -> None:
        """The screen that is shown."""
        for item in self.query(TabLabel):
            item.set_class(item.place == place, "-active")


def _run_text(report: Report) -> Content:
    """What was lost comes first: there may be no room for the rest."""
    recording = report.recording
    lost = recording.lost.signal + recording.lost.sys_admin
    return Content.assemble(
        (f"{lost} events lost  " if lost else "", "bold $text-warning"),
        printable(shlex.join(report.target.argv)[:LONGEST]),
        (f"  {'' if lost else 'nothing lost, '}{recording.host.observer}", "dim"),
    )
