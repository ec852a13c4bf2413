"""What the screen asks of each tab."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual.containers import Vertical

if TYPE_CHECKING:
    from capadvise.model.caps import Cap
    from capadvise.tui.state import TargetState


@dataclass(frozen=True, slots=True)
class Shown:
    """What all tabs show."""

    states: Sequence[TargetState]
    current: int
    format_name: str

    @property
    def state(self) -> TargetState:
        """The target that is shown."""
        return self.states[self.current]


class MainTab(Vertical):
    """One of them."""

    HELP: ClassVar[str]
    FOCUS: ClassVar[str]
    """What gets the keys when the user comes here."""
    LISTS_CAPS: ClassVar[bool] = False
    """Whether it has a list of capabilities, in which a click on a lamp selects."""

    def show(self, shown: Shown) -> None:
        """Draw all of it."""
        raise NotImplementedError

    @property
    def selected(self) -> Cap | None:
        """The highlighted capability."""
        return None

    def select(self, cap: Cap) -> None:
        """Highlight a capability, where it is listed."""
