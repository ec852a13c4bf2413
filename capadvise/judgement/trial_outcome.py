"""What came of a trial. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from capadvise.judgement.differences import Observed
from capadvise.model.caps import CapSet


@dataclass(frozen=True, slots=True)
class TrialOutcome:
    """What running the workload under one set gave."""

    passed: bool
    why: str
    seconds: float
    observed: Observed
    refused: CapSet = frozenset()
    """Capabilities without which a call failed in this trial."""
    kept: CapSet = frozenset()
    """Capabilities that programs asked to keep for themselves (capset)."""
    failed_at: str | None = None
    """See ``Trial``."""
    late: bool = False
    """It failed by the clock alone, and had less time than the workload allows."""
    output: str = ""
    """The end of what it printed."""


class NotProvable(Exception):
    """The workload does not pass even with everything: nothing can be said about a set."""

    def __init__(self, outcome: TrialOutcome) -> None:
        super().__init__(outcome.why)
        self.outcome = outcome


class Interrupted(Exception):
    """The user ended the search; raised by the callable that runs trials."""
