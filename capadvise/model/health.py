"""The state of a target's health check while the target runs. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

SAID_AFTER = 5.0
"""A check that fails for so many seconds is reported, then again after twice as long, and so on."""


@dataclass(frozen=True, slots=True)
class Health:
    """The last try. Times are seconds since the run began."""

    passed: bool
    text: str = ""
    """How it ended, and the last line that it printed: ``exit 1: connection refused``."""
    since: float = 0.0
    """The time of the last change between passed and failed; a failure counts from the start of the
    run."""

    def after(self, before: Health | None, now: float) -> Health:
        """Follow the previous state with this try, which has just ended."""
        if before is None:
            return self
        return replace(self, since=before.since if before.passed is self.passed else now)

    def news(self, now: float, told: float) -> str | None:
        """``failing for 6 s, exit 1: …``, if it is time to report it. ``told``: the time of the
        last report."""
        failing = now - self.since
        if self.passed or failing < max(SAID_AFTER, 2 * (told - self.since)):
            return None
        return f"failing for {failing:.0f} s, {self.text}"


def ending(status: int | None, output: str) -> str:
    """How a try ended, and the last line that it printed. None: it took too long."""
    how = "no answer in time" if status is None else f"exit {status}"
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return f"{how}: {lines[-1]}" if lines else f"{how}, without a word"
