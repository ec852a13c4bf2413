"""The base of all tabs, and the values that the screen hands them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.containers import Vertical
from textual.message import Message

from capadvise.catalog import Catalog
from capadvise.model.caps import Cap
from capadvise.tui.capabilities import Capabilities
from capadvise.tui.state import TargetState
from capadvise.workflow.protocols import LiveSource


class Moved(Message):
    """Another capability is highlighted."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The values that a tab gets when the screen opens."""

    catalog: Catalog
    argv: Sequence[str]
    source: LiveSource | None
    """None for a saved report."""


@dataclass(frozen=True, slots=True)
class Shown:
    """The values that a tab draws."""

    states: Sequence[TargetState]
    current: int
    format_name: str

    @property
    def state(self) -> TargetState:
        """The target that is shown."""
        return self.states[self.current]


class MainTab(Vertical):
    """A tab: its line in ``tabs.TABS`` names its class."""

    FOCUS: ClassVar[str]
    """The widget that has the focus when the user comes here."""
    LISTS_CAPS: ClassVar[bool] = False
    """It has a list of capabilities, in which a click on a lamp selects."""

    def __init__(self, name: str, opened: Opened) -> None:
        super().__init__(id=name)
        self.catalog = opened.catalog

    def show(self, shown: Shown) -> None:
        """Draw all of it."""
        raise NotImplementedError

    @property
    def selected(self) -> Cap | None:
        """The highlighted capability."""
        return None

    def select(self, cap: Cap) -> None:
        """Highlight a capability, if it is listed."""


class CapsTab(MainTab):
    """A tab whose list has a line for each capability."""

    LISTS_CAPS = True

    caps: Capabilities

    @property
    def selected(self) -> Cap | None:
        return self.caps.selected

    def select(self, cap: Cap) -> None:
        self.caps.select(cap)
