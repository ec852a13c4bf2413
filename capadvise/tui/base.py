"""What the actions of the screen know of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from textual.screen import Screen

    from capadvise.catalog import Catalog
    from capadvise.model.caps import Cap
    from capadvise.tui.choice import Choice
    from capadvise.tui.livetab import LiveTab
    from capadvise.tui.prooftab import ProofTab
    from capadvise.tui.reviewtab import ReviewTab
    from capadvise.tui.state import TargetState
    from capadvise.tui.tab import MainTab
    from capadvise.workflow.protocols import Confirm, LiveSource

    Base = Screen[None]
else:
    Base = object


class OfMain(Base):
    """The members of ``Main`` that its actions use."""

    place: Any
    current: Any
    frozen: Any
    over: Any
    format_name: Any
    if TYPE_CHECKING:
        source: LiveSource | None
        states: list[TargetState]
        live: LiveTab
        review: ReviewTab
        proof: ProofTab
        leaving: bool
        catalog: Catalog
        confirm: Confirm

        @property
        def state(self) -> TargetState: ...
        @property
        def choice(self) -> Choice | None: ...
        @property
        def selected(self) -> Cap | None: ...
        @property
        def tab(self) -> MainTab: ...
        @property
        def takes_keys(self) -> bool: ...
        def choose(self, choice: Choice) -> None: ...
        def show(self) -> None: ...
        def show_board(self) -> None: ...
        def mark(self) -> None: ...
