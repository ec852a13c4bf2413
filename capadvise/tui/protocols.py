"""What the screens are given: who runs trials. The screens know no kernel and no engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from capadvise.caps import CapSet
from capadvise.prove import Trial
from capadvise.report.model import Report

Starting = Callable[[CapSet], None]
"""Called when a trial of a set begins."""
Ended = Callable[[Trial], None]
"""Called when a trial has ended."""


class Prover(Protocol):
    """Runs trials of a report's workload. Its methods are called in a thread of their own, and
    call back in it; only ``stop`` is called from another one."""

    def obstacle(self, report: Report) -> str | None:
        """Why no trial can be made of this report here; None where they can."""

    def prove(self, report: Report, starting: Starting, ended: Ended) -> Report:
        """Search for the floor; the report with its proof, which is saved.

        Raises CapadviseError where no trial could be made, Interrupted when it was stopped before
        the first one ended.
        """

    def try_set(self, report: Report, caps: CapSet, starting: Starting, ended: Ended) -> Report:
        """One trial of a set, compared with one that has everything; the report that holds it,
        which is saved.

        Raises as ``prove`` does.
        """

    def stop(self) -> None:
        """End the trials under way; ``prove`` returns with the best set so far."""
