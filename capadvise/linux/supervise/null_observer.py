"""In place of the trace buffers and what is made of them, where nothing can be traced."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from capadvise.linux.retry.client import Listener
    from capadvise.linux.tracking.tasks import Scope
    from capadvise.posture import Mac
    from capadvise.recording import Check, Lost, Refusal, Tally


class NoBuffers:
    """As ``buffers.Buffers``: there are none."""

    source = None

    def __init__(self) -> None:
        self.folders: list[str] = []
        self.probes: list[str] = []

    def open(self, pids: Callable[[], list[int]]) -> None:
        """Wait until the target is held."""
        pids()

    def denied(self) -> dict[str, Any] | None:
        """Nobody tells what was refused."""

    def drain(self, tracker: object) -> bool:
        """Nothing is there."""
        del tracker
        return True

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

    def remove(self) -> None:
        """Nothing is left."""


class NoChecks:
    """As ``tracker.Tracker``: no check is seen, only what retries show."""

    def __init__(self, root: int, listener: Listener | None) -> None:
        self.root, self._listener = root, listener
        self.stopping: int | None = None
        self.crowded = False

    @property
    def distinct(self) -> int:
        """How many different facts are known."""
        return self._listener.distinct if self._listener else 0

    def tallies(self) -> tuple[Tally, ...]:
        """How often a refused call needed each capability so far."""
        return self._listener.tallies() if self._listener else ()

    def finish(self) -> None:
        """Nothing is waiting."""

    def checks(self, scope: Scope) -> tuple[Check, ...]:
        """None."""
        del scope
        return ()

    def refusals(self, scope: Scope, mac: Mac | None = None) -> tuple[Refusal, ...]:
        """None."""
        del scope, mac
        return ()
