"""Trials on different data, one after the other, that count as one."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from capadvise.judgement.differences import Observed
from capadvise.judgement.proven import TrialOutcome
from capadvise.model.caps import CapSet
from capadvise.proof.trials.runner import Job, Part, StopSeen, TrialEvidence, run_once
from capadvise.proof.trials.stop import Stop

_T = TypeVar("_T")
_AT = {
    "volumes": ("volumes", "on new volumes in place of the folders"),
    "new-volumes": ("data", "on new volumes"),
    "copy": ("data", "on the existing data"),
    "upgrade": ("upgrade", "at an upgrade"),
}
"""By choice, except the first: the failed step, for reports and for people."""


def run(job: Job, caps: CapSet, stop: Stop) -> Part:
    """Make one trial of a set, with each of the job's choices of data, until one fails. Raises
    BrokenTrial if it could not be made, Interrupted if it was ended."""
    parts: list[Part] = []
    for choice in job.choices:
        part = run_once(replace(job, choices=(choice,)), caps, stop)
        parts.append(part)
        if not part[0].passed:
            break
    return combined(parts, job.choices)


def combined(parts: Sequence[Part], choices: Sequence[str]) -> Part:
    """Combine the parts of one trial; only the last can have failed."""
    if len(parts) == 1:
        return parts[0]
    return _outcome(parts, choices), _evidence(parts)


def _outcome(parts: Sequence[Part], choices: Sequence[str]) -> TrialOutcome:
    outcomes = [outcome for outcome, _ in parts]
    last = outcomes[-1]
    at, where = _AT[choices[len(parts) - 1]]
    return TrialOutcome(
        passed=last.passed,
        why=last.why if last.passed else f"{where}: {last.why}",
        seconds=round(sum(outcome.seconds for outcome in outcomes), 3),
        observed=_observed([outcome.observed for outcome in outcomes], choices),
        refused=frozenset().union(*(outcome.refused for outcome in outcomes)),
        kept=frozenset().union(*(outcome.kept for outcome in outcomes)),
        late=last.late,
        failed_at=at if last.failed_at == "start" or at == "upgrade" else last.failed_at,
        output=last.output,
    )


def _observed(each: Sequence[Observed], choices: Sequence[str]) -> Observed:
    """Paths begin with the choice: each has other data."""
    parts = list(map(_of_choice, choices, each))
    streams = dict.fromkeys(name for one in parts for name, _ in one.printed)
    return Observed(
        exit_status=parts[-1].exit_status,
        stderr=_all(one.stderr for one in parts),
        files=_all(one.files for one in parts),
        credentials=_all(one.credentials for one in parts),
        granted=parts[-1].granted,
        listening=_all(one.listening for one in parts),
        details=_all(one.details for one in parts),
        printed=tuple((name, _all(one.lines(name) for one in parts)) for name in streams),
        uncompared=_all(one.uncompared for one in parts),
        stopped="; ".join(one.stopped for one in parts if one.stopped),
    )


def _of_choice(choice: str, one: Observed) -> Observed:
    files = tuple((f"{choice}:{path}", text) for path, text in one.files)
    details = tuple((f"{choice}:{path}", name, value) for path, name, value in one.details)
    uncompared = tuple(f"{choice}:{folder}" for folder in one.uncompared)
    return replace(one, files=files, details=details, uncompared=uncompared)


def _all(parts: Iterable[Sequence[_T]]) -> tuple[_T, ...]:
    return tuple(dict.fromkeys(item for part in parts for item in part))


def _evidence(parts: Sequence[Part]) -> TrialEvidence:
    evidence = [one for _, one in parts]
    recordings = list(evidence[0].recordings)
    for one in evidence[1:]:  # a start on existing data counts as a later one
        begun = max((recording.start for recording in recordings), default=0)
        recordings += [
            replace(recording, start=begun + recording.start) for recording in one.recordings
        ]
    stops = [one.stop for one in evidence if one.stop is not None]
    return replace(
        evidence[0],
        recordings=tuple(recordings),
        output="".join(one.output for one in evidence),
        rounds_passed=min(one.rounds_passed for one in evidence),
        stop=StopSeen(
            max(stop.seconds for stop in stops),
            any(stop.killed for stop in stops),
            all(stop.clean for stop in stops),
            all(stop.leaves_nothing for stop in stops),
        )
        if stops
        else None,
    )
