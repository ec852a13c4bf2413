"""Whether a target still gets on: a program that it has not run before has begun, or one of
them computes. What hangs, and what starts the same programs again and again, does not. Pure."""

from __future__ import annotations

from collections.abc import Callable

_EVERY = 0.25
"""Seconds between two looks, at most: each reads all of /proc."""


class StandingStill:
    """Told what runs, and when."""

    def __init__(self, limit: float) -> None:
        """``limit``: seconds without anything new, after which nothing is expected any more; up to
        twice as long where it computes all that time, or has no processor to do so."""
        self._limit, self._every = limit, min(_EVERY, limit / 2)
        self._known: set[str] = set()
        self._next = self._looked = self._changed = self._busy = 0.0

    def look(self, now: float, running: Callable[[], tuple[set[str], bool]]) -> bool:
        """Whether it has stood still for too long. ``running``: the names of its programs, and
        whether one of them is busy; asked for now and then."""
        if now < self._next:
            return False
        programs, busy = running()
        self._busy += busy * (now - self._looked)
        self._next, self._looked = now + self._every, now
        if not programs <= self._known:
            self._known |= programs
            self._changed, self._busy = now, 0.0
        still = now - self._changed - min(self._limit, self._busy)
        return bool(self._known) and still > self._limit
