"""The review: what a report says, the user's choice, proof, risk and the way into a file.

A view: it shows values and returns values, and has others (``protocols``) run trials.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.widgets import Footer, Static

from capadvise.catalog import Catalog
from capadvise.report.model import Report
from capadvise.tui.choice import Choice
from capadvise.tui.protocols import Prover


class ReviewApp(App[None]):
    """All screens on one report. ``report`` is the newest one, with the proof if there is one."""

    BINDINGS: ClassVar = [Binding("q", "quit", "Quit")]

    def __init__(
        self, report: Report, catalog: Catalog, path: Path, *, prover: Prover | None = None
    ) -> None:
        super().__init__()
        self.report = report
        self.catalog = catalog
        self.path = path
        self.prover = prover
        self.choice = Choice(report)

    def compose(self) -> ComposeResult:
        yield Static(str(self.path), markup=False)
        yield Footer()
