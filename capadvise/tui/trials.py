"""Texts on trials: their names, the progress of a proof, and a first proposal of a health check.
Pure: no widget here."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from capadvise.judgement.proven import Trial
from capadvise.judgement.report import Report
from capadvise.model.caps import CapSet
from capadvise.model.companion import Companion
from capadvise.model.escape import printable
from capadvise.model.wording import set_text
from capadvise.model.workload import still_running
from capadvise.proof.plan import fewest

_BLOCKS = " ▏▎▍▌▋▊▉█"
_SECONDS = 5
"""A container that lives for this long has not failed at its start."""


def tried(
    caps: CapSet, trials: list[Trial], recommended: CapSet, beside: tuple[Companion, ...] = ()
) -> str:
    """The name of a trial of a set. ``trials``: those before it; the first one had everything."""
    if beside:
        what = tried(caps, trials, recommended)
        removed = what.removeprefix("without ")
        kinds = ", ".join(one.kind.name.lower() for one in beside)
        if beside[0].is_flag:
            return f"with {kinds}" if caps == recommended else f"{what}, with {kinds}"
        return f"{what} and {kinds}" if removed == what else f"{kinds} for {removed}"
    if not trials or caps == trials[0].caps:
        return "everything"
    if not caps:
        return "none"
    return "recommended set" if caps == recommended else _compared(caps, trials, recommended)


def _compared(caps: CapSet, trials: list[Trial], recommended: CapSet) -> str:
    passed = [trial.caps for trial in trials[1:] if trial.passed]
    for larger in (*reversed(passed), recommended):
        if caps < larger and len(larger - caps) == 1:
            return f"without {set_text(larger - caps)}"
    if caps > recommended and len(caps - recommended) == 1:
        return f"with {set_text(caps - recommended)} too"
    return f"{len(caps)} capabilit{'y' if len(caps) == 1 else 'ies'}"


def about(trial: Trial, before: list[Trial], recommended: CapSet) -> str:
    """The name of a trial that has ended."""
    what = tried(trial.caps, before, recommended, trial.beside)
    if trial.without is not None and not trial.beside:
        name = trial.without.short
        others = printable("+".join(trial.instead))
        what = f"{others} for {name}" if others else f"without {name}"
    return f"{what}, again" if trial.repeat else what


@dataclass(frozen=True, slots=True)
class TrialProgress:
    """How far a search has come."""

    done: int
    total: int
    """The least number of trials."""
    left: float | None
    """The estimated seconds."""

    def bar(self, width: int) -> str:
        """A bar of so many cells."""
        eighths = round(8 * width * self.done / max(self.total, self.done + 1))
        full, part = divmod(eighths, 8)
        return f"{'█' * full}{_BLOCKS[part] if full < width else ''}".ljust(width, "░")[:width]

    def __str__(self) -> str:
        about_left = "" if self.left is None else f", about {self.left:.0f} s left"
        return f"{self.done} of at least {self.total} trials{about_left}"


def progress(trials: list[Trial], recommended: CapSet) -> TrialProgress:
    """How far the search is with these trials."""
    total = max(fewest(recommended), len(trials) + 1)
    if not trials:
        return TrialProgress(0, total, None)
    mean = sum(trial.seconds for trial in trials) / len(trials)
    return TrialProgress(len(trials), total, mean * (total - len(trials)))


_PORT = re.compile(r"tcp \S*:(\d{1,5})\Z")
_WEB = {"80": "http://localhost/", "443": "https://localhost/", "8080": "http://localhost:8080/"}


def guessed_check(report: Report) -> str:
    """A first proposal of a health check, from what was recorded; it can be empty. A container's
    ports are not on this host."""
    if report.target.kind == "container":
        return still_running(report.target.engine or "docker", _SECONDS)
    for recording in report.recordings:
        for check in recording.checks:
            port = _PORT.search(check.detail or "") if check.syscall == "bind" else None
            if port and port[1] in _WEB:
                return f"curl -fsSk {_WEB[port[1]]}"
            if port:
                return f"bash -c {shlex.quote(f'</dev/tcp/127.0.0.1/{port[1]}')}"
    return ""
