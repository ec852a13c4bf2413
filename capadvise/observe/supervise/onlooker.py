"""What a recording shows to the live screen and the like: each target, as far as it is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from capadvise.model.health import Health
from capadvise.model.recording import Recording, Tally
from capadvise.observe.supervise.event_loop import EventLoop


@dataclass(frozen=True, slots=True)
class TargetSoFar:
    """One target: a command, a service, a container."""

    name: str
    """Empty where there can be only one."""
    recordings: tuple[Recording, ...]
    ended: bool = False
    health: Health | None = None
    """What a health check of its own says."""
    exit_status: int | None = None
    """Where it has ended, and the others go on."""

    def tallies(self) -> tuple[Tally, ...]:
        """How often each capability was checked for it, and by whom last."""
        counts: dict[int, Tally] = {}
        for recording in self.recordings:
            for check in recording.checks:
                before = counts.get(check.cap)
                count = check.count + (before.count if before else 0)
                counts[check.cap] = Tally(count, check)
        return tuple(counts.values())


Onlooker = Callable[[EventLoop, Callable[[], Sequence[TargetSoFar]]], None]
"""Called between two rounds of reading, with what gives the targets so far."""
