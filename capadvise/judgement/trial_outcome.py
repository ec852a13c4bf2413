"""The outcome of a trial. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from capadvise.judgement.differences import Observed
from capadvise.model.caps import CapSet


@dataclass(frozen=True, slots=True)
class TrialOutcome:
    """The outcome of running the workload with one set."""

    passed: bool
    why: str
    seconds: float
    observed: Observed
    refused: CapSet = frozenset()
    """Capabilities without which a call failed in this trial."""
    kept: CapSet = frozenset()
    """Capabilities that programs keep by capset(2)."""
    failed_at: str | None = None
    """The failed step; see ``Trial``."""
    late: bool = False
    """It ran out of time, and had less time than the workload allows."""
    output: str = ""
    """The end of what it printed."""


class NotProvable(Exception):
    """The workload does not pass even with everything, so trials cannot judge any set."""

    def __init__(self, outcome: TrialOutcome) -> None:
        super().__init__(outcome.why)
        self.outcome = outcome


class Interrupted(Exception):
    """The user ended the search; the callable that runs trials raises it."""
