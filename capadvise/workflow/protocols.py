"""What the screens are given: who records, who runs trials. And how a screen is opened. The screens
know no kernel and no engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from capadvise.judgement.decide import Proposal
from capadvise.judgement.proven import Trial
from capadvise.judgement.report import Report
from capadvise.judgement.watched import WatchFinding
from capadvise.model.caps import CapSet
from capadvise.model.health import Health
from capadvise.model.recording import Lost, Tally

if TYPE_CHECKING:
    from capadvise.gate.patching import Patching

Starting = Callable[[CapSet], None]
"""Called when a trial of a set begins."""
Ended = Callable[[Trial], None]
"""Called when a trial has ended."""


class Confirm(Protocol):
    """Asks the program that reads a file whether it takes a change as it is meant."""

    def __call__(self, made: Patching) -> None:
        """It can take a second. Raises CannotPatch where it is taken otherwise."""


def unconfirmed(made: Patching) -> None:
    """Where nobody can be asked."""


class Prover(Protocol):
    """Runs trials of a report's workload. Its methods are called in a thread of their own, and
    call back in it; only ``stop`` is called from another one."""

    def obstacle(self, report: Report) -> str | None:
        """Why no trial can be made of this report here; None where they can."""

    def wants_check(self, report: Report) -> bool:
        """Whether trials could be made if there were a health check."""

    def with_check(self, report: Report, check: str) -> Report:
        """The report with a health check."""

    def prove(self, report: Report, starting: Starting, ended: Ended) -> Report:
        """Search for the minimal set; the report with its proof, which is saved.

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
    """The recording of one target, as it is now."""

    seconds: float = 0.0
    """Since the target's exec; 0 before."""
    tallies: tuple[Tally, ...] = ()
    proposal: Proposal | None = None
    """The judgement so far, which can be some seconds old; None where there is none yet. Of the
    evidence, two checks for each need are enough: one that decides, and one that does not."""
    lost: Lost = field(default_factory=Lost)
    stopping: float | None = None
    """Seconds until what ignores SIGTERM is killed; None while nothing is being stopped."""
    name: str = ""
    """Of a service or a container; empty where there is one target only."""
    health: Health | None = None
    """None where there is no health check, or none was made yet."""
    ended: bool = False
    exit_status: int | None = None
    """Of one that has ended while others go on."""


@dataclass(frozen=True, slots=True)
class Over:
    """The recording of one target, which has ended."""

    report: Report
    path: Path | None
    """Where the report was saved; None where no place took it."""
    check_passed: bool | None = None
    check_said: str = ""
    """What the last try of the health check printed."""
    interrupted: bool = False
    """Somebody ended its proof."""


class LiveSource(Protocol):
    """Records targets. It goes its own way in processes of its own; the screen looks at it as often
    as it likes, and none of these calls waits."""

    argv: tuple[str, ...]
    """What is recorded, for people."""
    check: str | None
    """The health check, which ends the target on success."""
    has_terminal: bool
    """Whether there is output to be shown, and keys can be typed."""

    def start(self, columns: int, rows: int) -> None:
        """Start the target on a terminal of this size."""

    @property
    def observer(self) -> str:
        """What sees the checks; empty where there is none yet."""

    def now(self) -> tuple[Now, ...]:
        """What was seen so far of each target; there can be none yet."""

    def output(self) -> bytes:
        """What the target wrote since the last call."""

    def wants_keys(self) -> bool:
        """Whether the target waits for keys."""

    def over(self) -> tuple[Over, ...] | None:
        """The end, once everything is saved. Raises CapadviseError where the target could not be
        started or the report could not be written."""

    def stop(self) -> None:
        """End the target as a runtime would, or only the recording. Called again: kill it."""

    def type(self, data: bytes) -> None:
        """Keys for the target."""

    def resize(self, columns: int, rows: int) -> None:
        """The target's terminal has another size."""


class LiveRecording(LiveSource, Protocol):
    """What is shown until the user leaves; then somebody closes it."""

    def close(self) -> tuple[Over, ...] | None:
        """End what still runs, and wait for the report; None where nothing was started. Raises
        what ended the recording."""


class ShowLive(Protocol):
    """Shows a recording on this terminal, and then its review."""

    def __call__(
        self,
        recorder: LiveRecording,
        *,
        prove: bool = False,
        before: dict[str, str] | None = None,
    ) -> list[Over]:
        """Until the user leaves: how each recording ended, with its report as it is then.
        ``before``: what was kept before the recording, for trials.

        Raises what the recording raises.
        """


class WatchSource(Protocol):
    """Watches the machine. None of its calls waits for anything to happen."""

    last_cap: int
    """The highest capability of this kernel."""

    @property
    def findings(self) -> Iterable[WatchFinding]:
        """What was refused so far; their counts are as of the last ``count``."""

    @property
    def fds(self) -> Sequence[int]:
        """Readable when there is news."""

    @property
    def patience(self) -> float | None:
        """Seconds after which there can be news without anything to read; None: never."""

    @property
    def hears_audit(self) -> bool:
        """Whether the kernel sends its audit records."""

    @property
    def seconds(self) -> float:
        """Since it began."""

    @property
    def dropped(self) -> int:
        """How many new kinds of refusals could not be read."""

    def news(self) -> Iterable[WatchFinding]:
        """Read what is new."""

    def count(self) -> None:
        """Read how often each was seen."""


class OpenWatch(Protocol):
    """The screen of ``watch``."""

    def __call__(
        self,
        source: WatchSource,
        seconds: float | None,
        note: Callable[[WatchFinding], str | None],
        counted: Callable[[], None],
        *,
        everything: bool,
    ) -> None:
        """Until the user leaves. ``note``: what the report of a finding's owner says of it;
        ``counted``: called each time all were counted."""
