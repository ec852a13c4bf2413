"""The flags that files write beside a set, no_new_privs and the default seccomp profile: whether
trials ran with them. Pure."""

from dataclasses import dataclass
from enum import StrEnum

from capadvise.catalog import Catalog
from capadvise.judgement.differences import examples
from capadvise.judgement.hardening import GAINS, MAY_GAIN, NO_NEW_PRIVILEGES
from capadvise.judgement.proven import Proven, Trial
from capadvise.judgement.report import Report
from capadvise.model.caps import CapSet
from capadvise.model.companion import DEFAULT_SECCOMP, NO_NEW_PRIVS, Companion
from capadvise.model.recording import Namespace


class FlagTrial(StrEnum):
    """The verdict of trials on a flag."""

    TRIED = "tried"
    """A trial of the set with it passed, and lost nothing."""
    LEFT_OUT = "left-out"
    NOT_TRIED = "not-tried"


@dataclass(frozen=True, slots=True)
class Flag:
    """A flag beside a set."""

    tried: FlagTrial
    written: bool | None
    """True if files write it; None: they leave it open, because nobody knows."""
    why: str = ""
    """Why it is not written."""


_CLOSED = "it makes calls that the default profile refuses"
_NO_TRIAL = "no trial of this set ran with it"


def no_new_privs(report: Report, caps: CapSet) -> Flag:
    """no_new_privs beside this set. Without trials, the recordings decide: a file says then that
    its set is not proven."""
    hardening = report.proven and report.proven.hardening
    if hardening and (why := dict(hardening.left_out).get(NO_NEW_PRIVILEGES)):
        return Flag(FlagTrial.LEFT_OUT, False, why)
    if hardening and hardening.caps == caps and NO_NEW_PRIVILEGES in hardening.lines:
        return Flag(FlagTrial.TRIED, True)
    gains = gains_nothing(report)
    if gains is False:
        return Flag(FlagTrial.LEFT_OUT, False, GAINS)
    return _by_trials(report.proven, caps, NO_NEW_PRIVS) or Flag(
        FlagTrial.NOT_TRIED, gains, "" if gains else MAY_GAIN
    )


def default_seccomp(report: Report, caps: CapSet, catalog: Catalog) -> Flag:
    """The engine's default seccomp profile beside this set."""
    if not fits_default_seccomp(report, catalog):
        return Flag(FlagTrial.LEFT_OUT, False, _CLOSED)
    return _by_trials(report.proven, caps, DEFAULT_SECCOMP) or Flag(FlagTrial.NOT_TRIED, True)


def _by_trials(proven: Proven | None, caps: CapSet, flag: Companion) -> Flag | None:
    """The verdict of the trials; None if there are none that could tell. Of several trials of a
    set, the one counts that passed with most flags."""
    if proven is None or proven.minimal is None or not proven.complete:
        return None
    with_flags = [one for one in proven.trials if one.caps == caps and _has_flags(one.beside)]
    held = [one.beside for one in with_flags if one.passed and not one.differences]
    if flag in max(held, key=len, default=()):
        return Flag(FlagTrial.TRIED, True)
    failed = [one for one in with_flags if flag in one.beside and one.beside not in held]
    return _left_out(failed[-1]) if failed else Flag(FlagTrial.NOT_TRIED, None, _NO_TRIAL)


def _has_flags(beside: tuple[Companion, ...]) -> bool:
    return bool(beside) and all(one.is_flag for one in beside)


def _left_out(failed: Trial) -> Flag:
    how = "lost" if failed.passed else "failed"
    return Flag(FlagTrial.LEFT_OUT, False, f"a trial with it {how}: {examples(failed.differences)}")


def gains_nothing(report: Report) -> bool | None:
    """True if no started program gave more than its starter had; None if the recordings do not
    tell: retries alone, audit records, a target that was watched too late, and programs that had
    ended before their files could be looked at."""
    recordings = report.recordings
    if any(recording.setid_exec for recording in recordings):
        return False
    # A start that another recording has seen is the start of this target, too.
    blind = all(item.attached for item in recordings) or any(
        item.setid_exec is None or item.host.observer in ("retry", "audit") for item in recordings
    )
    return None if blind else True


def fits_default_seccomp(report: Report, catalog: Catalog) -> bool:
    """True if no recorded call is one that the default profile refuses. Only calls that ask for a
    capability are recorded: of others nothing is known."""
    closed = catalog.closed_calls
    return not any(
        recording.io_uring
        or any(check.syscall in closed or check.ns is Namespace.CHILD for check in recording.checks)
        for recording in report.recordings
    )


def written_by(report: Report, isolation: str, catalog: Catalog) -> tuple[Companion, ...]:
    """The flags that trials of this isolation try, as files write them: those that the recordings
    do not exclude. A command runs under no seccomp profile."""
    flags = () if gains_nothing(report) is False else (NO_NEW_PRIVS,)
    engine = isolation == "container" and fits_default_seccomp(report, catalog)
    return (*flags, DEFAULT_SECCOMP) if engine else flags
