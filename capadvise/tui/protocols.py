"""What the screens are given: who records, and who runs trials. The screens know no kernel and no
engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from capadvise.caps import CapSet
from capadvise.decide import Proposal
from capadvise.proven import Trial
from capadvise.recording import Lost, Tally
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

    def wants_check(self, report: Report) -> bool:
        """Whether trials could be made if it were known what shows that it works."""

    def with_check(self, report: Report, check: str) -> Report:
        """The report with a shell command that passes when it works."""

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


@dataclass(frozen=True, slots=True)
class Now:
    """A recording that goes on, as it is now."""

    seconds: float = 0.0
    """Since the target's exec."""
    tallies: tuple[Tally, ...] = ()
    proposal: Proposal | None = None
    """The judgement so far, which can be some seconds old; None where there is none yet."""
    lost: Lost = field(default_factory=Lost)
    stopping: float | None = None
    """Seconds until what does not heed SIGTERM is killed; None while nothing is being stopped."""


@dataclass(frozen=True, slots=True)
class Over:
    """A recording that has ended."""

    report: Report
    path: Path
    """Where the report was saved."""
    check_passed: bool | None = None
    check_said: str = ""
    """What the last try of the check printed."""


class LiveSource(Protocol):
    """Records a target. It goes its own way in threads of its own; the screen looks at it as often
    as it likes, and none of these calls waits."""

    argv: tuple[str, ...]
    check: str | None
    """The shell command that ends the target when it passes."""

    def start(self, columns: int, rows: int) -> None:
        """Start the target on a terminal of this size."""

    @property
    def observer(self) -> str:
        """What sees the checks; empty where there is none yet."""

    def now(self) -> Now:
        """What was seen so far."""

    def output(self) -> bytes:
        """What the target wrote since the last call."""

    def over(self) -> Over | None:
        """The end, once everything is saved. Raises CapadviseError where the target could not be
        started or the report could not be written."""

    def stop(self) -> None:
        """End the target as a runtime would. Called again: kill it."""

    def type(self, data: bytes) -> None:
        """Keys for the target."""

    def resize(self, columns: int, rows: int) -> None:
        """The target's terminal has another size."""

    def wants_screen(self) -> bool:
        """Whether the target has switched to the alternate screen."""

    def lend(self) -> None:
        """Give the target the real terminal, until it has ended. This one waits."""
