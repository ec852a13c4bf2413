"""Finds the smallest opening of a seccomp profile with which a target works. Pure: callables run
the trials."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from capadvise.judgement.opening import Additions

_MOST_ROUNDS = 12
"""Rounds of growth: each ends at a call that the profile refuses."""


class OpeningTrial(NamedTuple):
    """The outcome of a trial with additions."""

    passed: bool
    why: str
    refused: frozenset[str]
    """Calls that the profile answered."""
    namespaces: int
    """The kinds of namespaces that it was seen to make, as flags."""


def grown(
    first: Additions, everything: Additions, attempt: Callable[[Additions], OpeningTrial]
) -> Additions | None:
    """Additions with which the target works: those that its recordings and its own trials show,
    then no masks, then all calls that the capability opens (``everything``). None: it fails even
    then."""
    current = first
    for _ in range(_MOST_ROUNDS):
        tried = attempt(current)
        if tried.passed:
            narrow = current.narrowed(tried.namespaces)
            return narrow if narrow != current and attempt(narrow).passed else current
        more = current.plus(tried.refused)
        if more == current and "mount" in current.names:
            more = current._replace(unmasked=True)
        if more == current:
            break
        current = more
    last = everything._replace(calls=everything.calls | current.calls, unmasked=True)
    return last if attempt(last).passed else None


def shrunk(
    current: Additions,
    lost: Callable[[Additions], str | None],
    ahead: Callable[[Sequence[Additions]], None],
) -> tuple[Additions, tuple[tuple[str, str], ...]]:
    """The additions without the members that are not needed, and how each other one was missed.
    ``lost`` says how the target fails with additions, None if it works as well; ``ahead`` gets the
    next ones."""
    needed: dict[str, str] = {}
    while left := [(what, less) for what, less in current.smaller() if what not in needed]:
        ahead([less for _, less in left])
        what, less = left[0]
        why = lost(less) or lost(less)  # it must work twice
        if why is None:
            current = less
        else:
            needed[what] = why
    return current, tuple(needed.items())
