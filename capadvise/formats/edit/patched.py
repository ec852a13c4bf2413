"""What comes of a patch, and how the thing to patch is named."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from capadvise.errors import BadInput
from capadvise.formats.edit.layout import Item
from capadvise.formats.snippet import Snippet


@dataclass(frozen=True, slots=True)
class Patched:
    """The new text, which is the old one where nothing had to change."""

    text: str
    service: str
    """What was patched, as ``--service`` takes it."""
    notes: tuple[str, ...] = ()
    """What its owner must know, one sentence each."""
    unprivileged: bool = False
    """Whether it was privileged before."""


def chosen(asked: str | None, names: Sequence[str], *, what: str) -> str:
    """The name that is meant: the only one, where none was asked for. Raises BadInput, with the
    names that there are."""
    if asked is None and len(names) == 1:
        return names[0]
    some = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
    if not names:
        raise BadInput(f"it has no {what}")
    if asked is None:
        raise BadInput(
            f"it has {len(names)} {what}s, and --service says not which", hint=f"one of: {some}"
        )
    if asked in names:
        return asked
    close = difflib.get_close_matches(asked, names, n=3)
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    raise BadInput(f"it has no {what} {asked!r}", hint=f"{hint}it has: {some}")


def reasons(snippet: Snippet) -> tuple[Item, ...]:
    """The capabilities as containers spell them, with why; sorted by number."""
    return tuple(Item(cap.short, reason) for cap, reason in sorted(snippet.caps))
