"""The result of a patch, and how the thing to patch is named."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from capadvise.formats import engine
from capadvise.formats.comments import PORT_START
from capadvise.formats.edit.layout import Item
from capadvise.formats.snippet import Snippet
from capadvise.formats.user_names import is_root
from capadvise.model.errors import BadInput, CannotPatch


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
    dependents: tuple[str, ...] = ()
    """Other services that change with it, since they extend it."""


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
            f"it has {len(names)} {what}s: choose one with --service", hint=f"one of: {some}"
        )
    if asked in names:
        return asked
    close = difflib.get_close_matches(asked, names, n=3)
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    raise BadInput(f"it has no {what} {asked!r}", hint=f"{hint}it has: {some}")


def reasons(snippet: Snippet) -> tuple[Item, ...]:
    """The capabilities as containers spell them, with why; sorted by number."""
    return tuple(Item(cap.short, reason) for cap, reason in sorted(snippet.caps))


@contextmanager
def patchable(what: str) -> Iterator[None]:
    """A new text that cannot be read is no fault of the file's."""
    try:
        yield
    except BadInput as error:
        raise odd(what) from error


def odd(what: str) -> CannotPatch:
    """The error for what has the right keys in ways that nobody uses."""
    return CannotPatch(
        f"{what} is written in a form that cannot be patched",
        hint="write each of its keys once, as KEY: VALUE",
    )


def on_user(snippet: Snippet, user: str | None) -> Iterator[str]:
    """What a container's user means for what it is given; None where the image decides."""
    if user is None:
        yield from engine.notes(snippet)
    elif not is_root(user):
        known = replace(snippet, user=user)
        if known.only_low_ports and not known.host_network:
            yield f"the sysctl {PORT_START} must be 0 for this"
        yield from engine.notes(known)
