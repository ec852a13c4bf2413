"""What a health check has said while the target runs: since when, and how it failed. Pure."""

from __future__ import annotations

from capadvise.dataclass import dataclass

SAID_AFTER = 5.0
"""Seconds of failing before those who wait are told; then again after twice as long, and so on."""


@dataclass(frozen=True, slots=True)
class HealthSeen:
    """The last try."""

    passed: bool
    text: str = ""
    """How it ended, and what it printed last: ``exit 1: connection refused``."""


class HealthHistory:
    """The tries of one target, by the time of each."""

    def __init__(self) -> None:
        self.last: HealthSeen | None = None
        self.since = 0.0
        """When it first said what it says now; a failure counts from the start of the run."""
        self._next = SAID_AFTER

    def heard(self, seen: HealthSeen, now: float) -> None:
        """A try has ended."""
        if self.last is not None and self.last.passed is not seen.passed:
            self.since, self._next = now, now + SAID_AFTER
        self.last = seen

    def news(self, now: float) -> str | None:
        """``failing for 6 s, exit 1: …``, where it is time to say so."""
        if self.last is None or self.last.passed or now < self._next:
            return None
        failing = now - self.since
        self._next = now + failing
        return f"failing for {failing:.0f} s, {self.last.text}"


def ending(status: int | None, output: str) -> str:
    """How a try ended, and the last line that it printed. None: it took too long."""
    how = "no answer in time" if status is None else f"exit {status}"
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return f"{how}: {lines[-1]}" if lines else f"{how}, without a word"
