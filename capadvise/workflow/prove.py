"""Prove: run a workload under one set after the other, and conclude what it needs."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from capadvise.attempts import Attempt, LikelyAttempts
from capadvise.caps import Cap, CapSet
from capadvise.catalog import default
from capadvise.decide import Proposal, decide_all
from capadvise.errors import CapadviseError, Exit
from capadvise.linux.trials import choices, runner
from capadvise.linux.trials.runner import BrokenTrial
from capadvise.prove import Interrupted, NotProvable, TrialOutcome, fewest, prove
from capadvise.proven import Proven, Trial, conclude
from capadvise.recording import Recording
from capadvise.report.escape import printable
from capadvise.report.merge import numbered
from capadvise.report.model import Report
from capadvise.report.proof_text import trial_text
from capadvise.workflow.jobs import Candidate, job_of
from capadvise.workflow.notice import notice, progress
from capadvise.workflow.reference import Reference, first_trial
from capadvise.workflow.reports import keep, report_path
from capadvise.workflow.side_by_side import SideBySide

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class TrialListener:
    """Who is told of the trials of one workload as they go. Called in the thread that runs them."""

    expected: Callable[[int], None]
    """With the number of trials, if the recommended set works and is the floor."""
    starting: Callable[[CapSet], None]
    ended: Callable[[Trial], None]
    hopeless: Callable[[str, str], None]
    """It fails even with everything: why, and what it printed."""


def prove_all(
    chosen: Sequence[Candidate], output: str | None, stop: runner.Stop, workers: int
) -> list[Report | BrokenTrial]:
    """Prove each, so many at a time, and save each report as soon as it is there. Ctrl-C ends the
    trials under way."""
    several = len(chosen) > 1
    share = max(1, (os.cpu_count() or 1) // max(1, workers))
    results: dict[str, Report | BrokenTrial] = {}
    for exclusive, at_once in ((False, workers), (True, 1)):
        group = [candidate for candidate in chosen if candidate.job.exclusive is exclusive]
        calls = [
            partial(_prove_and_save, one, output, stop, share, several=several) for one in group
        ]
        ended = until_interrupted(calls, stop, at_once)
        results |= {one.name: call.result() for one, call in zip(group, ended, strict=True)}
    return [results[candidate.name] for candidate in chosen]


def _prove_and_save(
    candidate: Candidate, output: str | None, stop: runner.Stop, workers: int, *, several: bool
) -> Report | BrokenTrial:
    name = candidate.name
    try:
        report = prove_job(candidate, stop, _on_stderr(name), workers)
    except Interrupted:
        return BrokenTrial("interrupted before the first trial ended")
    except BrokenTrial as error:
        return error
    keep(report_path(output, name, several=several), report)
    return report


def exit_code(reports: Iterable[Report]) -> Exit:
    """What a script is told: 0 when each is proven, whatever ended the recorded target."""
    proofs = [report.proven for report in reports]
    if any(proof is not None and not proof.complete for proof in proofs):
        return Exit.INTERRUPTED
    proven = all(proof is not None and proof.floor is not None for proof in proofs)
    return Exit.OK if proven else Exit.FAILED


def prove_report(report: Report, before: Mapping[str, str] | None = None) -> Report:
    """Prove what was just recorded; ``before``: what was kept before that. What stands in the way
    is said, and the report as good as before; Ctrl-C ends the trials and keeps the best set."""
    name = report.target.name
    try:
        candidate = Candidate(name, job_of(report, before=before), report)
        with runner.Stop() as stop:
            call = partial(prove_job, candidate, stop, _on_stderr(name), os.cpu_count() or 1)
            return until_interrupted([call], stop, 1)[0].result()
    except Interrupted:
        notice("interrupted before the first trial ended")
    except CapadviseError as error:
        notice(f"not proven: {error}")
    return report


def until_interrupted(
    calls: Sequence[Callable[[], _T]], stop: runner.Stop, workers: int
) -> list[Future[_T]]:
    """Make the calls, so many at a time; Ctrl-C ends their trials, and they return early. So do
    SIGTERM and the end of the terminal: what is known is kept."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:  # nohup has it ignored
        signal.signal(signal.SIGHUP, _terminal_lost)
    with ThreadPoolExecutor(max(1, workers)) as pool:
        futures = [pool.submit(call) for call in calls]
        try:
            wait(futures)
        except KeyboardInterrupt:
            stop.ask()
    return futures


def _terminal_lost(number: int, _: object) -> None:
    """As Ctrl-C, but once: kernel and shell both report it."""
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def prove_job(
    candidate: Candidate, stop: runner.Stop, listener: TrialListener, workers: int = 1
) -> Report:
    """Run the trials of one workload, so many side by side; the report says what came of them.

    Raises BrokenTrial when no trial could be made.
    """
    job = candidate.job
    everything = runner.everything(job)

    def run_trial(attempt: Attempt, observed: bool, part: runner.Stop) -> TrialOutcome:
        listener.starting(attempt.caps)
        settings = () if attempt.change is None else (attempt.change,)
        one = replace(job, observed=observed, settings=settings)
        return choices.run(one, attempt.caps, part)[0]

    with SideBySide(run_trial, stop, 1 if job.alone else workers) as trials:

        def begun(reference: Reference) -> None:
            nonlocal job
            if not _alike(job, reference.job):
                trials.ahead(())
            job = reference.job
            trials.expect(_usual(reference))
            proposal = _before_trials(candidate, reference).proposal
            attempts = LikelyAttempts(
                proposal, everything, default().removal_order, changeable=job.takes_settings
            )
            trials.ahead(attempts.at_first())

        reference = first_trial(job, stop, listener.starting, begun)
        if reference.outcome.passed:
            begun(reference)
        report = _before_trials(candidate, reference)
        listener.expected(fewest(report.proposal.recommended))
        try:
            proven = prove(
                report.proposal,
                everything,
                reference.outcome,
                trials,
                isolation=job.isolation,
                removal_order=default().removal_order,
                untried=_unused(candidate, report.proposal, reference),
                say=listener.ended,
                ahead=trials.ahead,
                risk=_risk,
                try_setting=trials if job.takes_settings else None,
            )
        except NotProvable as error:
            listener.hopeless(error.outcome.why, reference.evidence.output)
            seconds, why = error.outcome.seconds, error.outcome.why
            trial = Trial(everything, False, seconds, differences=(why,))
            return replace(report, proven=Proven(job.isolation, (trial,), None))
    early = () if trials.broken is None else (f"the trials ended early: {trials.broken}",)
    proven = replace(proven, cautions=(*reference.cautions, *early))
    return replace(report, proposal=conclude(report.proposal, proven), proven=proven)


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


def _manner(stop: runner.StopSeen | None) -> tuple[bool, bool] | None:
    return None if stop is None else (stop.killed, stop.clean)


def _usual(reference: Reference) -> float:
    """Seconds until a start has passed its check, or never will."""
    starts = reference.evidence.rounds_passed * len(reference.job.choices)
    return 0.5 + reference.outcome.seconds / starts


def _risk(cap: Cap) -> int:
    levels = ("low", "medium", "high", "root")
    level = default().risk(cap)
    return levels.index(level) if level in levels else len(levels)


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
    was to be done but once."""
    if candidate.known is None:
        return frozenset()
    in_trial = decide_all(reference.evidence.recordings, default())
    others = (cap for need in in_trial.needs for group in need.alternatives for cap in group)
    return proposal.recommended - in_trial.recommended - frozenset(others)


def _on_stderr(name: str) -> TrialListener:
    """Progress on a terminal's stderr, line by line."""
    trials: list[Trial] = []
    began = time.monotonic()
    most = [0]

    def expected(count: int) -> None:
        most[0] = count
        progress(f"{name}: {count} trials, more if a member can be dropped")

    def ended(trial: Trial) -> None:
        trials.append(trial)
        left = max(0, most[0] - len(trials)) * (time.monotonic() - began) / len(trials)
        more = f", about {left:.0f} s left" if left else ""
        progress(f"  trial {len(trials)}{more}: {trial_text(trial, trials[0].caps)}")

    def hopeless(why: str, output: str) -> None:
        notice(f"{name} fails even with every capability: {why}")
        for line in output.splitlines()[-20:]:
            print(f"    {printable(line)}", file=sys.stderr)

    return TrialListener(
        expected=expected,
        starting=lambda _: None,
        ended=ended,
        hopeless=hopeless,
    )
