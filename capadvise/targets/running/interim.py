"""Saving what was observed so far, of a recording that may go on for a week."""

from __future__ import annotations

import time
from collections.abc import Callable

_FIRST, _LAST = 3.0, 180.0
"""Seconds until the first time, and between two times in the long run: each is twice as long as the
one before, up to that."""


class Interim:
    """Saves now and then. In the beginning only where there is something new: an idle target is to
    cost nothing."""

    def __init__(
        self,
        save: Callable[[], object],
        distinct: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``distinct``: how much is known so far."""
        self._save, self._distinct, self._clock = save, distinct, clock
        self._wait, self._known = _FIRST, 0
        self._due = clock() + _FIRST

    def look(self) -> None:
        """Save, if it is time."""
        if self._clock() < self._due:
            return
        known, settled = self._distinct(), self._wait >= _LAST
        if known != self._known or settled:
            self._save()
        self._known = known
        self._wait = min(2 * self._wait, _LAST)
        self._due = self._clock() + self._wait
