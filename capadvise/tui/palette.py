"""The actions: the key of each, its name in the command palette, and when it does something."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from textual.binding import Binding
from textual.widgets import Input

from capadvise.tui.files import might_apply
from capadvise.tui.output import GIVE_BACK
from capadvise.tui.tabs import TABS

_TABLE = json.loads(Path(__file__).with_name("keys.json").read_text(encoding="utf-8"))
BINDINGS = (
    Binding(GIVE_BACK, "give_back", "capadvise's own keys", id="give-back"),
    *(Binding(**row) for row in _TABLE["bindings"]),
    *(
        Binding(str(number), f"go('{tab}')", tab.capitalize(), show=False, id=f"go-{tab}")
        for number, tab in enumerate(TABS, 1)
    ),
)
"""In the order of the bottom line, which is cut at its end if there is no room. Those with priority
are done before a widget gets the key: the list would fold a group at Enter, and what the user types
after ``i`` or ``/`` is for the target or the search."""


def described(binding: Binding) -> str:
    """The line of the help for a key."""
    return f"{binding.description}: {binding.tooltip}" if binding.tooltip else binding.description


COMMANDS: tuple[tuple[str, str, str], ...] = (
    *((f"go: {tab}", f"go('{tab}')", entry.explanation) for tab, entry in TABS.items()),
    *map(tuple, _TABLE["commands"]),
)
"""Name, action and explanation."""


def _shows(main: Any, pane: str) -> bool:
    """True if this pane can be seen: another one may fill the screen."""
    return main.maximized is None or main.maximized.id == pane


_ON_CHOICE = frozenset(_TABLE["on a choice"])
"""The actions on a chosen set: there is one once there is a report."""
_WHEN: dict[str, Callable[[Any], object]] = {
    "give_back": lambda main: False,
    "type": lambda main: main.running and main.source.has_terminal and main.place == "live",
    "freeze": lambda main: main.running and main.place == "live" and not main.frozen,
    "thaw": lambda main: main.running and main.frozen,
    "stop": lambda main: main.running and main.state.now.stopping is None,
    "kill": lambda main: main.running and main.state.now.stopping is not None,
    "leave": lambda main: not main.running,
    "review": lambda main: main.over and main.place == "live" and not main.in_field,
    "target": lambda main: len(main.states) > 1,
    "keep": lambda main: main.place in ("review", "risk"),
    "undo": lambda main: main.state.can_undo,
    "reset": lambda main: main.choice.toggled,
    "base": lambda main: len(main.choice.offered(main.state.conclusion.also_passed)) > 1,
    "prove": lambda main: (
        main.proof.can_tell
        and (main.place != "proof" or main.proof.can_start or main.proof.wants_check)
    ),
    "try": lambda main: main.proof.can_start and main.choice.trial() is None,
    "stop_trials": lambda main: main.proof.running,
    "format": lambda main: main.place == "review" and _shows(main, "snippet"),
    "view": lambda main: (
        main.place == "review" and main.review.has_class("narrow") and main.maximized is None
    ),
    "search": lambda main: main.place == "review" and not isinstance(main.focused, Input),
    "sort": lambda main: main.place in ("live", "review"),
    "fold": lambda main: main.place in ("live", "review"),
    "apply": lambda main: might_apply(),
    "back": lambda main: main.maximized is not None or main.in_field,
    "minimize": lambda main: main.maximized is not None,
    "zoom": lambda main: main.maximized is not None or main.focused is not None,
}


def acts(main: Any, action: str) -> bool:
    """True if an action does something: else neither the bottom line nor the palette shows it."""
    condition = _WHEN.get(action, lambda _: True)
    return (main.choice is not None or action not in _ON_CHOICE) and bool(condition(main))
