"""A table for a pull request or a wiki."""

from __future__ import annotations

import re
from collections.abc import Iterator

from capadvise.formats.snippet import Snippet

_STEERING = re.compile(r"[\\`*_\[\]<>|&~]")
"""What Markdown, or the HTML in it, takes for more than text."""


def render(snippet: Snippet) -> str:
    """One row for each capability that is kept."""
    return "".join(f"{line}\n" for line in _lines(snippet))


def _lines(snippet: Snippet) -> Iterator[str]:
    yield f"### Capabilities of {_text(snippet.name)} ({snippet.set_title.removeprefix('the ')})"
    yield ""
    if snippet.kept:
        yield "Drop all; add:"
        yield ""
        yield "| capability | verdict | proof | risk | reason | without it |"
        yield "| --- | --- | --- | --- | --- | --- |"
        for kept in snippet.kept:
            lost = kept.lost_without or ("it fails" if kept.verdict == "required" else "not tried")
            cells = (kept.verdict, kept.proof, kept.risk or "unknown", kept.reason, lost)
            yield f"| {_text(kept.cap.short)} | {' | '.join(map(_text, cells))} |"
    else:
        yield "Drop all: no capability is needed."
    if notes := (*snippet.cautions, *snippet.notes):
        yield ""
        yield from (f"- {_text(note)}" for note in notes)


def _text(text: str) -> str:
    """Text and nothing else, whatever a program called itself."""
    return _STEERING.sub(r"\\\g<0>", text)
