"""In place of the trace buffers and of what is made of them, where nothing can be traced."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from capadvise.linux.ftrace.event_order import Page
    from capadvise.linux.ftrace.instances import PageReader
    from capadvise.linux.retry.client import Listener
    from capadvise.linux.tracking.tasks import Scope
    from capadvise.recording import Check, Lost, RefusedCall, Tally


class NoBuffers:
    """As ``instances.Buffers``: there are none."""

    observer: str | None = None

    def __init__(self) -> None:
        self.folders: list[str] = []
        self.probes: list[str] = []

    def keep(self) -> None:
        """There is nothing to take."""

    def denied(self) -> dict[str, Any] | None:
        """Nobody tells what was refused."""

    def drain(self, reader: PageReader) -> bool:
        """Nothing is there."""
        del reader
        return True

    def wake_at_once(self) -> list[int]:
        """Nothing comes."""
        return []

    def now(self) -> int:
        """No clock is needed."""
        return 0

    def stop(self) -> None:
        """Nothing runs."""

    def lost(self) -> Lost:
        """Nothing can be lost."""
        from capadvise.recording import Lost  # start-up does without

        return Lost()

    def close(self) -> None:
        """Nothing is open."""

    def remove(self, patience: float = 0.0) -> None:
        """Nothing is left."""


class NoTracker:
    """As ``tracker.Tracker``: no check is seen, only what retries show."""

    unmatched = unnamed = 0

    def __init__(self, listener: Listener | None) -> None:
        self._listener = listener

    def feed(self, before: Iterable[Page], flood: Iterable[Page], after: Iterable[Page]) -> bool:
        """Nothing comes."""
        del before, flood, after
        return True

    def note_stopping(self, time: int | None) -> None:
        """No check has a phase."""
        del time

    @property
    def distinct(self) -> int:
        """How many different facts are known."""
        return self._listener.distinct if self._listener else 0

    def tallies(self) -> tuple[Tally, ...]:
        """How often a refused call needed each capability so far."""
        return self._listener.tallies() if self._listener else ()

    def cautions(self) -> tuple[str, ...]:
        """None."""
        return ()

    def finish(self) -> None:
        """Nothing is waiting."""

    def scope_of(self, pid: int) -> Scope | None:
        """Nobody is followed."""
        del pid
        return None

    def checks(self, scope: Scope) -> tuple[Check, ...]:
        """None."""
        del scope
        return ()

    def refused_calls(self, scope: Scope) -> tuple[RefusedCall, ...]:
        """None."""
        del scope
        return ()
