"""Events of all processors in their order. Pure."""

from __future__ import annotations

Event = tuple[int, int, int, bytes, bytes]
"""Time, kind, pid, the event, and of a check its stack."""
Noise = dict[tuple[bytes, bytes, int], list[int]]
"""Checks of memory accounting by (event, stack, pid): the time of the first, and how many."""


class Order:
    """Holds events until nothing older can come.

    Each processor has a buffer of its own, and in a round they are read one after the other: what
    happened meanwhile is read from one, and not yet from another that was read before. What is no
    newer than the newest of the round before has been read from all of them.
    """

    def __init__(self) -> None:
        self._waiting: list[Event] = []
        self._noise: Noise = {}
        self._newest = 0

    def take(self, read: list[Event], noise: Noise) -> tuple[list[Event], Noise]:
        """What can be taken after a round that read these; a round that reads nothing gives the
        rest."""
        newest, waiting = self._newest, self._waiting + read
        self._newest = max((event[0] for event in read), default=newest)
        self._waiting = [event for event in waiting if event[0] > newest]
        noise, self._noise = self._noise, noise
        return [event for event in waiting if event[0] <= newest], noise
