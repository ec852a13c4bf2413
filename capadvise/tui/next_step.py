"""The next step of a conclusion: the key that does it here, or the command."""

from __future__ import annotations

import shlex

from textual.content import Content
from textual.style import Style

from capadvise.judgement.conclusion import PASSED, Conclusion
from capadvise.model.escape import printable
from capadvise.tui.choice import Choice
from capadvise.tui.state import TargetState

_KEYS = {
    "a": "applies it",
    "p": "proves it",
    "s": "saves it",
    "t": "takes the minimal set",
    "y": "tests this set",
}


def next_step(state: TargetState, *, can_prove: bool, can_apply: bool) -> Content:
    """``next: p proves it``; empty while something is recorded or tried, and once it is saved."""
    conclusion, choice = state.conclusion, state.choice
    if conclusion is None or choice is None or state.trial_caps is not None:
        return Content("")
    if state.saved and conclusion.standing in PASSED:
        return Content.styled("saved", "$text-success")
    key = _key(conclusion, choice, can_prove=can_prove, can_apply=can_apply)
    if key is None:
        path = state.over.path if state.over is not None else None
        words = conclusion.next.of(str(path or "REPORT"))
        return Content.assemble(("next: ", "dim"), printable(shlex.join(words)))
    press = Style.from_meta({"@click": f"app.simulate_key('{key}')"})
    step = Content.assemble((key, "bold $footer-key-foreground"), f" {_KEYS[key]}").stylize(press)
    return Content.assemble(("next: ", "dim"), step)


def _key(conclusion: Conclusion, choice: Choice, *, can_prove: bool, can_apply: bool) -> str | None:
    verb, *options = conclusion.next.words[1:]
    if verb == "emit":
        if "minimal" in options and choice.caps != conclusion.minimal:
            return "t"
        return "a" if can_apply else "s"
    if verb == "prove" and can_prove:
        return "y" if choice.toggled and choice.trial() is None else "p"
    return None
