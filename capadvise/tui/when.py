"""When a key does something: else neither the bottom line nor the palette shows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from textual.widgets import Input

from capadvise.tui.files import might_apply

Condition = Callable[[Any], object]

WHEN: dict[str, Condition] = {
    "give_back": lambda main: False,
    "type": lambda main: main.running and main.source.has_terminal and main.place == "live",
    "freeze": lambda main: main.running and main.place == "live" and not main.frozen,
    "thaw": lambda main: main.running and main.frozen,
    "stop": lambda main: main.running and main.state.now.stopping is None,
    "kill": lambda main: main.running and main.state.now.stopping is not None,
    "leave": lambda main: not main.running,
    "review": lambda main: main.over and main.place == "live",
    "step": lambda main: main.over and main.place == "live" and main.state.history.events,
    "target": lambda main: len(main.states) > 1,
    "keep": lambda main: main.choice is not None and main.place in ("review", "risk"),
    "undo": lambda main: main.choice is not None and main.state.can_undo,
    "reset": lambda main: main.choice is not None and bool(main.choice.toggled),
    "base": lambda main: (
        main.choice is not None and main.choice.report.proposal.minimal is not None
    ),
    "prove": lambda main: (
        main.choice is not None
        and main.proof.can_tell
        and (main.place != "proof" or main.proof.can_start or main.proof.wants_check)
    ),
    "try": lambda main: main.proof.can_start and main.choice.trial() is None,
    "stop_trials": lambda main: main.proof.running,
    "format": lambda main: main.choice is not None and main.place == "review",
    "view": lambda main: (
        main.choice is not None and main.place == "review" and main.review.has_class("narrow")
    ),
    "search": lambda main: (
        main.choice is not None and main.place == "review" and not isinstance(main.focused, Input)
    ),
    "sort": lambda main: main.place in ("live", "review"),
    "fold": lambda main: main.place in ("live", "review"),
    "apply": lambda main: main.choice is not None and might_apply(),
    "save": lambda main: main.choice is not None,
    "copy": lambda main: main.choice is not None,
    "export": lambda main: main.choice is not None,
    "back": lambda main: main.maximized is not None or main.in_field,
    "unzoom": lambda main: main.maximized is not None,
    "zoom": lambda main: main.maximized is None and main.focused is not None,
}
