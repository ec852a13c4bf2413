"""Whether a target still gets on: a program that it has not run before has begun. What hangs, and
what starts the same programs again and again, does not. Pure."""

from __future__ import annotations

from collections.abc import Callable

_EVERY = 0.25
"""Seconds between two looks: each reads all of /proc."""


class StandingStill:
    """Told what runs, and when."""

    def __init__(self, limit: float) -> None:
        """``limit``: seconds without anything new, after which nothing is expected any more."""
        self._limit = limit
        self._known: set[str] = set()
        self._next = self._changed = 0.0

    def look(self, now: float, running: Callable[[], set[str]]) -> bool:
        """Whether it has stood still for too long. ``running``: the names of its programs, asked
        for now and then."""
        if now < self._next:
            return False
        self._next = now + _EVERY
        programs = running()
        if not programs <= self._known:
            self._known |= programs
            self._changed = now
        return bool(self._known) and now - self._changed > self._limit
