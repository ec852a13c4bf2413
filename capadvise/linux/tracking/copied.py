"""What the tracker asks of whoever makes copies of the target's processes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from capadvise.linux.ftrace.event_order import Event, Noise


class Copied(Protocol):
    """See ``copies.client``."""

    def without(self, events: Iterable[Event], noise: Noise) -> tuple[Iterable[Event], Noise]:
        """What is left without that which copies did, and without what a thread was made to do."""

    def checked(self, pid: int, call: str | None, program: str) -> None:
        """A thread of this program was checked in a call."""


class _NoCopies:
    """Where none are made."""

    def without(self, events: Iterable[Event], noise: Noise) -> tuple[Iterable[Event], Noise]:
        return events, noise

    def checked(self, pid: int, call: str | None, program: str) -> None:
        del pid, call, program


NO_COPIES: Copied = _NoCopies()
