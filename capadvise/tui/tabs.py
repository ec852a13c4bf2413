"""The tabs in the order of their keys, a line for each. Nothing here imports Textual: the first
frame shows their names before Textual is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from capadvise.tui.tab import MainTab


@dataclass(frozen=True, slots=True)
class TabEntry:
    """A tab in the table."""

    explanation: str
    module: str
    """The module that has the class of the tab."""
    kind: str

    def load(self) -> type[MainTab]:
        kind: type[MainTab] = getattr(import_module(f"capadvise.tui.{self.module}"), self.kind)
        return kind


TABS = {
    "live": TabEntry("What is checked as it runs, and its terminal", "livetab", "LiveTab"),
    "review": TabEntry("What is needed, and why", "reviewtab", "ReviewTab"),
    "proof": TabEntry("The trials", "prooftab", "ProofTab"),
    "risk": TabEntry("What an attacker could do", "risktab", "RiskTab"),
}
LABELS = {name: f" {number} {name.capitalize()} " for number, name in enumerate(TABS, 1)}
"""Their labels in the top line."""
