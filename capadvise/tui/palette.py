"""The actions: the key of each, its name in the command palette, and when it does something."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from textual.binding import Binding
from textual.widgets import Input

from capadvise.tui.files import might_apply
from capadvise.tui.output import GIVE_BACK
from capadvise.tui.tabs import TABS

BINDINGS = (
    Binding(GIVE_BACK, "give_back", "capadvise's own keys", id="give-back"),
    Binding("escape", "back", "Back", id="back"),
    Binding(
        *("enter", "review", "Review it"),
        tooltip="Choose, prove, save",
        id="to-review",
        priority=True,  # the list would fold a group, and an empty one would do nothing
    ),
    Binding("space", "keep", "Keep/drop", tooltip="Keep or drop the capability", id="keep"),
    Binding(
        *("i", "type", "Type into it"),
        tooltip="Give the keyboard to the target",
        id="type",
        priority=True,  # done before the next key, which is the target's
    ),
    Binding("p", "prove", "Prove", tooltip="Run it again with fewer capabilities", id="prove"),
    Binding("x", "stop_trials", "Stop trials", tooltip="Keep the best set", id="stop-trials"),
    Binding("y", "try", "Test this set", tooltip="One trial of the chosen set", id="try"),
    Binding("a", "apply", "Apply", tooltip="To the file here that has it", id="apply"),
    Binding("s", "save", "Save", tooltip="Into a file, or copy", id="save"),
    Binding("z", "undo", "Undo", tooltip="Take back one step", id="undo"),
    Binding("Z", "reset", "Reset", tooltip="As the report has it", show=False, id="reset"),
    Binding(
        "t",
        "base",
        "Other set",
        tooltip="Recommended, minimal, or another that passed a trial",
        id="base",
    ),
    Binding("f", "format", "Format", tooltip="The next configuration language", id="format"),
    Binding("F", "format(-1)", "Format back", show=False, id="format-back"),
    Binding("v", "view", "View", tooltip="Why, evidence or snippet", id="view"),
    Binding("right_square_bracket", "view", "Next view", show=False, id="view-next"),
    Binding("left_square_bracket", "view(-1)", "View before", show=False, id="view-back"),
    Binding("n", "target", "Next target", id="target"),
    Binding("N", "target(-1)", "Target before", show=False, id="target-back"),
    Binding("left", "step(-1)", "Event before", show=False, id="step-back"),
    Binding("right", "step", "Next event", show=False, id="step"),
    Binding("w", "freeze", "Freeze", tooltip="The display, not the recording", id="freeze"),
    Binding("w", "thaw", "Go on", tooltip="Draw again", id="thaw"),
    Binding("q", "stop", "Stop", tooltip="End the target as a runtime would", id="stop"),
    Binding("q", "kill", "Kill", tooltip="SIGKILL: SIGTERM was sent already", id="kill"),
    Binding("q", "leave", "Quit", id="leave"),
    Binding("E", "export", "Export", tooltip="As SVG, HTML and Markdown", id="export"),
    Binding("o", "sort", "Order", tooltip="By risk, first check or name", id="sort"),
    Binding("u", "fold", "Show all", tooltip="Unfold or fold the groups", id="fold"),
    Binding("c", "copy", "Copy", tooltip="The snippet to the clipboard", show=False, id="copy"),
    Binding(
        *("slash", "search", "Search"),
        tooltip="Find a capability",
        show=False,
        id="search",
        priority=True,  # done before the next key, which is for the search
    ),
    Binding("plus", "zoom", "Zoom", tooltip="The pane with the focus", show=False, id="zoom"),
    Binding("underscore", "unzoom", "All panes", show=False, id="unzoom"),
    *(
        Binding(str(number), f"go('{tab}')", tab.capitalize(), show=False, id=f"go-{tab}")
        for number, tab in enumerate(TABS, 1)
    ),
    Binding(
        "ctrl+c", "interrupt", "Copy the selected text, stop, or quit", show=False, id="interrupt"
    ),
    Binding("ctrl+z", "suspend", "Suspend", show=False, id="suspend"),
)
"""In the order of the bottom line, which is cut at its end if there is no room."""


def described(binding: Binding) -> str:
    """The line of the help for a key."""
    return f"{binding.description}: {binding.tooltip}" if binding.tooltip else binding.description


COMMANDS: tuple[tuple[str, str, str], ...] = (
    *((f"go: {tab}", f"go('{tab}')", entry.explanation) for tab, entry in TABS.items()),
    ("proof: start", "prove", "Find the smallest set that works"),
    ("proof: test this set", "try", "One trial of the chosen set"),
    ("proof: stop", "stop_trials", "End the trials, keep the best set"),
    ("save: apply to the file here", "apply", "Compose file, manifest or unit; diff first"),
    ("save: into a file", "save", "A new file, or a change in one of yours; shown first"),
    ("save: copy", "copy", "The snippet to the clipboard"),
    ("save: export lamps, needs and proof", "export", "As SVG, HTML and Markdown"),
    ("set: keep or drop", "keep", "The highlighted capability"),
    ("set: undo", "undo", "Take back one step"),
    ("set: reset", "reset", "As the report has it"),
    ("set: another", "base", "Recommended, minimal, or another that passed a trial"),
    ("view: search", "search", "Find a capability"),
    ("view: order", "sort", "By risk, first check or name"),
    ("view: why, evidence or snippet", "view", "The next pane"),
    ("view: show all", "fold", "Unfold or fold the groups"),
    ("view: zoom", "zoom", "The pane with the focus fills the screen"),
    ("view: next format", "format", "The snippet in the next language"),
    ("view: next target", "target", "Another service or container"),
    ("view: freeze", "freeze", "Stop drawing; the recording goes on"),
    ("target: type into it", "type", "Give it the keyboard; ctrl+] takes it back"),
    ("target: stop", "stop", "SIGTERM, and SIGKILL for what ignores it"),
)
"""Name, action and explanation."""


def _shows(main: Any, pane: str) -> bool:
    """True if this pane can be seen: another one may fill the screen."""
    return main.maximized is None or main.maximized.id == pane


WHEN: dict[str, Callable[[Any], object]] = {
    "give_back": lambda main: False,
    "type": lambda main: main.running and main.source.has_terminal and main.place == "live",
    "freeze": lambda main: main.running and main.place == "live" and not main.frozen,
    "thaw": lambda main: main.running and main.frozen,
    "stop": lambda main: main.running and main.state.now.stopping is None,
    "kill": lambda main: main.running and main.state.now.stopping is not None,
    "leave": lambda main: not main.running,
    "review": lambda main: main.over and main.place == "live" and not main.in_field,
    "step": lambda main: main.over and main.place == "live" and main.state.history.events,
    "target": lambda main: len(main.states) > 1,
    "keep": lambda main: main.choice is not None and main.place in ("review", "risk"),
    "undo": lambda main: main.choice is not None and main.state.can_undo,
    "reset": lambda main: main.choice is not None and bool(main.choice.toggled),
    "base": lambda main: (
        main.choice is not None and len(main.choice.offered(main.state.conclusion.also_passed)) > 1
    ),
    "prove": lambda main: (
        main.choice is not None
        and main.proof.can_tell
        and (main.place != "proof" or main.proof.can_start or main.proof.wants_check)
    ),
    "try": lambda main: main.proof.can_start and main.choice.trial() is None,
    "stop_trials": lambda main: main.proof.running,
    "format": lambda main: (
        main.choice is not None and main.place == "review" and _shows(main, "snippet")
    ),
    "view": lambda main: (
        main.choice is not None
        and main.place == "review"
        and main.review.has_class("narrow")
        and main.maximized is None
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
    "zoom": lambda main: main.maximized is not None or main.focused is not None,
}
"""When an action does something: else neither the bottom line nor the palette shows it. An action
that is not here always does."""
