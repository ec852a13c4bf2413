"""What the tracker asks of whoever makes copies of the target's processes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from capadvise.linux.ftrace.event_order import Event, Noise

Begun = tuple[str | None, tuple[int, ...]]


class Copied(Protocol):
    """See ``copies.client``."""

    def without(self, events: Iterable[Event], noise: Noise) -> tuple[Iterable[Event], Noise]:
        """What is left without that which copies did, and without what a thread was made to do."""

    def checked(self, pid: int, call: str | None, begun: Begun, program: str) -> None:
        """A thread of this program was checked in a call. ``begun``: the last call of which the
        beginning was seen, and its arguments."""


class _NoCopies:
    """Where none are made."""

    def without(self, events: Iterable[Event], noise: Noise) -> tuple[Iterable[Event], Noise]:
        return events, noise

    def checked(self, pid: int, call: str | None, begun: Begun, program: str) -> None:
        del pid, call, begun, program


NO_COPIES: Copied = _NoCopies()
