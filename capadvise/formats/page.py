"""What the pages share: how a stylesheet calls the lights, and what a page is made of."""

from __future__ import annotations

from capadvise.formats.snippet import Snippet
from capadvise.model.errors import BadInput
from capadvise.report.lamps import Light
from capadvise.report.sheet import Sheet

CLASSES = {
    Light.ROOT: "root",
    Light.NEEDED: "needed",
    Light.ADDED: "added",
    Light.DROPPED: "dropped",
    Light.OPTIONAL_KEPT: "optional",
    Light.OPTIONAL: "optional",
    Light.DENIED: "denied",
    Light.INCIDENTAL: "incidental",
    Light.UNJUDGED: "incidental",
    Light.DARK: "dark",
}
"""How a stylesheet calls the lights."""


def sheet_in(snippet: Snippet) -> Sheet:
    """What a page is made of."""
    if snippet.sheet is None:
        raise BadInput(
            f"{snippet.name}: it does not come from a report, so there is no page to make"
        )
    return snippet.sheet()


def set_word(name: str) -> str:
    """``minimal``, ``recommended``, ``chosen``."""
    return "minimal" if name == "floor" else name
