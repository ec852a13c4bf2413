"""The proof of one workload: its trials are made, and what they show is put into its report."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from capadvise.catalog import default
from capadvise.judgement.decide import Proposal, decide_all
from capadvise.judgement.proven import ENDED_EARLY, Proven, Trial, conclude, unfinished
from capadvise.judgement.report import Report
from capadvise.judgement.trial_outcome import TrialOutcome
from capadvise.kernel.processors import busy_seconds
from capadvise.model.caps import CapSet
from capadvise.model.recording import Recording
from capadvise.model.workload import only_greets, only_listens
from capadvise.proof.attempts import Attempt, LikelyAttempts
from capadvise.proof.plan import Beside, SearchTask, fewest, prove
from capadvise.proof.trials import choices, runner
from capadvise.proof.trials.stop import Stop
from capadvise.report.merge import numbered
from capadvise.workflow.companions import by_retries, known_before
from capadvise.workflow.jobs import Candidate
from capadvise.workflow.reference import Reference, first_trial
from capadvise.workflow.side_by_side import SideBySide, waiting_places

_UNASKED = (
    "trials see only that it listens on {}, not that a client is served there; --check can ask it"
)
_NO_LOGIN = "trials see no login on {}, which can need more; --check can log in"


@dataclass(frozen=True, slots=True)
class TrialListener:
    """Who is told of the trials of one workload as they go. Called in the thread that runs them."""

    expected: Callable[[int], None]
    """With the number of trials, if the recommended set works and is the floor."""
    starting: Callable[[CapSet], None]
    ended: Callable[[Trial], None]
    hopeless: Callable[[str, str], None]
    """It fails even with everything: why, and what it printed."""


def prove_job(
    candidate: Candidate,
    stop: Stop,
    listener: TrialListener,
    workers: int = 1,
    *,
    so_far: Callable[[Report], object] = lambda _: None,
) -> Report:
    """Run the trials of one workload, so many side by side; the report says what came of them.
    ``so_far`` is given one after each trial.

    Raises BrokenTrial when no trial could be made.
    """
    proof = _Proof(candidate, stop, listener, workers, so_far)
    with proof.trials:
        return proof.report()


class _Proof:
    """Of one workload."""

    def __init__(
        self,
        candidate: Candidate,
        stop: Stop,
        listener: TrialListener,
        workers: int,
        so_far: Callable[[Report], object],
    ) -> None:
        self._candidate, self._stop = candidate, stop
        self._listener, self._so_far = listener, so_far
        self._job = candidate.job
        """As trials are made: the first one tells."""
        if self._job.isolation == "container":  # the engine works, and we wait, most of the time
            workers *= 2
        self._workers = 1 if self._job.alone else workers
        self._began, self._busy = time.monotonic(), busy_seconds()
        self._widened = False
        self.trials = SideBySide(self._run, stop, self._workers)

    def _run(self, attempt: Attempt, observed: bool, part: Stop) -> TrialOutcome:
        self._listener.starting(attempt.caps)
        beside = () if attempt.beside is None else (attempt.beside,)
        job = replace(self._job, observed=observed, beside=beside)
        if attempt.patient:
            job = self._patient(job)
        outcome = choices.run(job, attempt.caps, part)[0]
        if attempt.patient and outcome.passed:  # so will others, but who knows when
            self._job = self._patient(self._job)
        return outcome

    def _patient(self, job: runner.Job) -> runner.Job:
        timeout = max(self._candidate.job.workload.timeout, job.workload.timeout)
        return replace(job, workload=replace(job.workload, timeout=timeout), still_limit=None)

    def _begin_early(self, reference: Reference) -> None:
        """As soon as its first start has passed, with what is of use whatever the next one needs:
        without that, the recommended set is one of the removals. To begin with all would hold up
        the next start, and most would be in vain. Once that one is up, with all."""
        again = any(recording.start > 1 for recording in reference.evidence.recordings)
        self._begin(reference, None if again else 2)

    def _begin(self, reference: Reference, number: int | None = None) -> None:
        """Begin with the likely ones, or so many. What has begun before counts if it is made as the
        others."""
        if not _alike(self._job, reference.job):
            self.trials.ahead(())
        self._job = reference.job
        self._widen()
        self.trials.expect(_usual(reference))
        attempts = LikelyAttempts(
            _before_trials(self._candidate, reference).proposal,
            runner.everything(self._job),
            default().removal_order,
            known_before(self._job),
        )
        self.trials.ahead(attempts.at_first()[:number])

    def _widen(self) -> None:
        """More at once, where the first one has left the processors idle."""
        if self._job.isolation == "container" and not self._widened:
            self._widened = True
            busy = (busy_seconds() - self._busy) / (time.monotonic() - self._began)
            self.trials.add_places(waiting_places(self._workers, busy))

    def report(self) -> Report:
        """With what all trials show."""
        reference = first_trial(self._job, self._stop, self._listener.starting, self._begin_early)
        report = _before_trials(self._candidate, reference)
        if not reference.outcome.passed:
            return self._hopeless(report, reference)
        self._begin(reference)
        self._listener.expected(fewest(report.proposal.recommended))
        proven = self._search(report, reference)
        broken = self.trials.broken
        early = () if broken is None else (f"{ENDED_EARLY}: {broken}",)
        cautions = (*reference.cautions, *_unasked(report.workload.check), *early)
        stop = self._job.stop
        proven = replace(
            proven,
            cautions=cautions,
            user_namespace=self._job.userns,
            leaves_nothing=stop is not None and stop.leaves_nothing,
        )
        return replace(report, proposal=conclude(report.proposal, proven), proven=proven)

    def _search(self, report: Report, reference: Reference) -> Proven:
        made: list[Trial] = []

        def say(trial: Trial) -> None:
            made.append(trial)
            self._listener.ended(trial)
            self._so_far(replace(report, proven=unfinished(self._job.isolation, made)))

        task = SearchTask(
            report.proposal,
            runner.everything(self._job),
            reference.outcome,
            self._job.isolation,
            default().removal_order,
            default().risk_rank,
            untried=_unused(self._candidate, report.proposal, reference),
        )
        return prove(
            task,
            self.trials,
            say=say,
            ahead=self.trials.ahead,
            beside=Beside(
                known_before(self._job),
                lambda minimal: by_retries(self._job, minimal, self._stop),
                self.trials,
            ),
        )

    def _hopeless(self, report: Report, reference: Reference) -> Report:
        outcome = reference.outcome
        self._listener.hopeless(outcome.why, reference.evidence.output)
        everything = runner.everything(self._job)
        trial = Trial(everything, False, outcome.seconds, differences=(outcome.why,))
        proven = Proven(
            *(self._job.isolation, (trial,), None),
            cautions=self._job.cautions,
            user_namespace=self._job.userns,
        )
        return replace(report, proven=proven)


def _before_trials(candidate: Candidate, reference: Reference) -> Report:
    """What the recordings propose."""
    known, job, evidence = candidate.known, reference.job, reference.evidence
    recordings = _recordings(known, job, evidence)
    return Report(
        known.target if known else replace(evidence.target, name=candidate.name),
        job.workload,
        known.posture if known else evidence.posture,
        recordings,
        decide_all(recordings, default()),
    )


def _alike(one: runner.Job, other: runner.Job) -> bool:
    """Whether what came of one counts for the other."""
    return (one.workload.steps, one.choices, _manner(one.stop)) == (
        other.workload.steps,
        other.choices,
        _manner(other.stop),
    )


def _manner(stop: runner.StopSeen | None) -> tuple[bool, ...] | None:
    return None if stop is None else (stop.killed, stop.clean, stop.leaves_nothing)


def _usual(reference: Reference) -> float:
    """Seconds until a start has passed its check, or never will."""
    starts = reference.evidence.rounds_passed * len(reference.job.choices)
    return 0.5 + reference.outcome.seconds / starts


def _recordings(
    known: Report | None, job: runner.Job, evidence: runner.TrialEvidence
) -> tuple[Recording, ...]:
    """What was recorded, and the starts that no recording has seen: those of the trial with
    everything, on what its first start left, and with other data."""
    if known is None:
        return numbered(evidence.recordings)
    later = [item for item in evidence.recordings if item.start > 1 or len(job.choices) > 1]
    seen = [recording for recording in known.recordings if recording.start == 1]
    return numbered([*seen, *later])


def _unused(candidate: Candidate, proposal: Proposal, reference: Reference) -> CapSet:
    """What was used in the recording, but not in a trial: what somebody did by hand then, or what
    was to be done but once. What a trial cannot be given, nobody could give either."""
    if candidate.known is None:
        return frozenset()
    in_trial = decide_all(reference.evidence.recordings, default())
    others = (cap for need in in_trial.needs for group in need.alternatives for cap in group)
    unused = proposal.recommended - in_trial.recommended - frozenset(others)
    return unused & runner.everything(reference.job)


def _unasked(check: str | None) -> list[str]:
    seen = (_UNASKED, only_listens(check)), (_NO_LOGIN, only_greets(check))
    return [words.format(", ".join(ports)) for words, ports in seen if ports]
