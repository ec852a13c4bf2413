"""The interfaces between workflows and screens: a recorder, a prover, a watch, and calls that open
a screen. The screens know no kernel and no engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from capadvise.judgement.conclusion import PassedSet
from capadvise.judgement.decide import Proposal
from capadvise.judgement.proven import Trial
from capadvise.judgement.report import Report
from capadvise.judgement.watched import WatchFinding
from capadvise.model.caps import CapSet
from capadvise.model.companion import Companion
from capadvise.model.health import Health
from capadvise.model.recording import Lost, Tally

if TYPE_CHECKING:
    from capadvise.gate.patching import Patching

Starting = Callable[[CapSet, tuple[Companion, ...]], None]
"""Called when a trial of a set begins, with what stands beside the set. Several can run side by
side, and end in another order."""
Ended = Callable[[Trial], None]
"""Called when a trial has ended."""


Confirm = Callable[["Patching"], None]
"""Asks the consumer of a file whether it reads a change as intended; this can take a second. Raises
CannotPatch if the consumer reads it otherwise."""


def unconfirmed(made: Patching) -> None:
    """A ``Confirm`` that asks nobody."""


class Prover(Protocol):
    """Runs trials of a report's workload. Its methods are called in a thread of their own, and
    call back in it; only ``stop`` is called from another one."""

    def obstacle(self, report: Report) -> str | None:
        """The reason why no trial can be made of this report here, or None."""

    def order(self, report: Report) -> Sequence[str]:
        """The lines of ``order_of``, if the user has to see them before the first trial: another
        user may have written the report."""

    def wants_check(self, report: Report) -> bool:
        """True if only the lack of a health check prevents trials."""

    def with_check(self, report: Report, check: str) -> Report:
        """The report with a health check."""

    def prove(self, report: Report, starting: Starting, ended: Ended) -> Report:
        """Search for the minimal set; save and return the report with its proof.

        Raises CapadviseError if no trial could be made, Interrupted if it was stopped before the
        first one ended.
        """

    def try_set(
        self, report: Report, chosen: PassedSet, starting: Starting, ended: Ended
    ) -> Report:
        """Make one trial of a set, and compare it with one that has everything; save and return
        the report with it.

        Raises as ``prove`` does.
        """

    def stop(self) -> None:
        """End the trials under way; ``prove`` returns with the best set so far."""


@dataclass(frozen=True, slots=True)
class Now:
    """The recording of one target, as it is now."""

    seconds: float = 0.0
    """Since the target's exec; 0 before."""
    tallies: tuple[Tally, ...] = ()
    proposal: Proposal | None = None
    """The judgement so far, which can be some seconds old; None if there is none yet. Its evidence
    is limited to two checks for each need: one that decides, and one that does not."""
    lost: Lost = field(default_factory=Lost)
    stopping: float | None = None
    """Seconds until what ignores SIGTERM is killed; None while nothing is being stopped."""
    name: str = ""
    """The service or container; empty if there is one target only."""
    health: Health | None = None
    """None if there is no health check, or it was not tried yet."""
    ended: bool = False
    exit_status: int | None = None
    """The exit status of a target that has ended while others go on."""


@dataclass(frozen=True, slots=True)
class Over:
    """The recording of one target, which has ended."""

    report: Report
    path: Path | None
    """The report's file; None if it could not be saved anywhere."""
    check_passed: bool | None = None
    check_said: str = ""
    """The output of the last try of the health check."""
    interrupted: bool = False
    """Somebody ended its proof."""


class LiveSource(Protocol):
    """Records targets, in processes of its own. None of these calls waits, so a screen can make
    them as often as it likes."""

    argv: tuple[str, ...]
    """The recorded command, for people."""
    check: str | None
    """The health check, which ends the target on success."""
    has_terminal: bool
    """True if the target has output to show, and takes keys."""

    def start(self, columns: int, rows: int) -> None:
        """Start the target on a terminal of this size."""

    @property
    def observer(self) -> str:
        """The name of the observer; empty if there is none yet."""

    def now(self) -> tuple[Now, ...]:
        """The state of each target's recording; there can be none yet."""

    def output(self) -> bytes:
        """The target's output since the last call."""

    def wants_keys(self) -> bool:
        """True if the target waits for keys."""

    def over(self) -> tuple[Over, ...] | None:
        """The results, once everything is saved. Raises CapadviseError if the target could not be
        started or the report could not be written."""

    def stop(self) -> None:
        """End the target as a runtime would, or only the recording. Called again: kill it."""

    def type(self, data: bytes) -> None:
        """Keys for the target."""

    def resize(self, columns: int, rows: int) -> None:
        """Give the target's terminal another size."""


class LiveRecording(LiveSource, Protocol):
    """A recording that its owner closes after the user has left the screen."""

    def close(self) -> tuple[Over, ...] | None:
        """End the recording, and wait for the results; None if nothing was started. Raises the
        error that ended it."""


class ShowLive(Protocol):
    """Shows a recording on this terminal, and then its review."""

    def __call__(
        self, recorder: LiveRecording, *, prove: bool = False, before: dict[str, str] | None = None
    ) -> list[Over]:
        """Return when the user leaves: the result of each recording, with its report as it is then.
        ``before``: the data that was kept before the recording, for trials.

        Raises the errors of the recording.
        """


class WatchSource(Protocol):
    """Watches the machine. None of its calls waits for anything to happen."""

    last_cap: int
    """The highest capability of this kernel."""

    @property
    def findings(self) -> Iterable[WatchFinding]:
        """The refusals so far; their counts are as of the last ``count``."""

    @property
    def fds(self) -> Sequence[int]:
        """Readable when there is news."""

    @property
    def patience(self) -> float | None:
        """Seconds after which there can be news without anything to read; None: never."""

    @property
    def hears_audit(self) -> bool:
        """True if the kernel sends its audit records."""

    @property
    def seconds(self) -> float:
        """Since it began."""

    @property
    def dropped(self) -> int:
        """The number of new kinds of refusals that could not be read."""

    def news(self) -> Iterable[WatchFinding]:
        """Read and return new refusals."""

    def count(self) -> None:
        """Read how often each was seen."""
