"""Prove workloads: run each under one set after the other, and save the conclusion."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from capadvise.judgement.proven import ENDED_EARLY, Interrupted, Proven, Trial
from capadvise.judgement.report import Report
from capadvise.kernel.background import Background
from capadvise.model.errors import CapadviseError, Exit
from capadvise.model.escape import printable
from capadvise.model.wording import counted
from capadvise.proof.trials.runner import BrokenTrial
from capadvise.proof.trials.stages import Stages
from capadvise.proof.trials.stop import Stop
from capadvise.report.words import trial_text
from capadvise.workflow.jobs import Candidate, Ways, job_of
from capadvise.workflow.notice import failure, notice, progress
from capadvise.workflow.proof import TrialListener, prove_job
from capadvise.workflow.reports import keep, keep_so_far, report_path

_T = TypeVar("_T")


def prove_all(
    chosen: Sequence[Candidate], output: str | None, stop: Stop, workers: int
) -> list[Report | BrokenTrial]:
    """Prove each, ``workers`` at a time, and save each report as soon as it is complete. Ctrl-C
    ends the trials under way."""
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
    candidate: Candidate, output: str | None, stop: Stop, workers: int, *, several: bool
) -> Report | BrokenTrial:
    name = candidate.name
    path = report_path(output, name, several=several)
    try:
        report = prove_job(
            candidate, stop, _on_stderr(name), workers, so_far=partial(keep_so_far, path)
        )
    except Interrupted:
        return BrokenTrial("interrupted before the first trial ended")
    except BrokenTrial as error:
        return error
    keep(path, report)
    return report


def exit_code(reports: Iterable[Report], *, interrupted: bool = False) -> Exit:
    """The exit code for scripts: 0 if each is proven, whatever ended the recorded target."""
    proofs = [report.proven for report in reports]
    if interrupted or any(proof is not None and _is_interrupted(proof) for proof in proofs):
        return Exit.INTERRUPTED
    proven = all(
        proof is not None
        and proof.minimal is not None
        and proof.complete
        and proof.recommended_sound is not False
        for proof in proofs
    )
    return Exit.OK if proven else Exit.FAILED


def _is_interrupted(proof: Proven) -> bool:
    """True if the user interrupted it; else a trial could not be made."""
    return not proof.complete and not any(one.startswith(ENDED_EARLY) for one in proof.cautions)


def prove_report(
    report: Report,
    path: Path | None,
    before: Mapping[str, str] | None = None,
    stages: Stages | None = None,
    *,
    twice: bool = False,
    ways: Ways | None = None,
) -> tuple[Report, bool]:
    """Prove a report that was just recorded and saved. Returns the report, and True if Ctrl-C ended
    the trials; it keeps the best set. If trials are not possible, it prints why, and the report is
    the same as before. ``before``: the data that was kept before the recording; ``stages``: the
    places for trials, if they have been prepared. ``twice``: only settle its doubts."""
    name, stop = report.target.name, Stop(stages)
    try:
        with stop:
            candidate = Candidate(name, job_of(report, ways or Ways(), before=before), report)
            if report.recording.interrupted:
                notice("the recording has ended, and its trials follow; Ctrl-C again leaves them")
            call = partial(
                prove_job,
                *(candidate, stop),
                *(_on_stderr(name), os.cpu_count() or 1),
                so_far=partial(keep_so_far, path),
                twice=twice,
            )
            report = until_interrupted([call], stop, 1)[0].result()
    except Interrupted:
        notice("interrupted before the first trial ended")
    except CapadviseError as error:
        failure("its doubts are not settled" if twice else "not proven", error)
    return report, stop.asked


def until_interrupted(
    calls: Sequence[Callable[[], _T]], stop: Stop, workers: int
) -> list[Future[_T]]:
    """Make the calls, ``workers`` at a time. Ctrl-C, SIGTERM and the loss of the terminal end their
    trials, and the calls return early with the results so far. A second signal kills the trials.

    The handlers stay until capadvise ends: an exception would interrupt the undoing of a trial.
    """

    def end(number: int, _: object) -> None:
        if number == signal.SIGHUP:  # once: kernel and shell both report it
            signal.signal(number, signal.SIG_IGN)
        Background(stop.kill if stop.asked else stop.ask)  # this thread may hold its lock

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    if signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:  # nohup has it ignored
        signal.signal(signal.SIGHUP, end)
    with ThreadPoolExecutor(max(1, workers)) as pool:
        futures = [pool.submit(call) for call in calls]
    return futures


def with_more(report: Report, failed: str, prove: Callable[[Stop], Proven]) -> Report:
    """The report with the result of more trials; the same report if they fail, or Ctrl-C ends them.
    ``failed``: ``not hardened``."""
    try:
        with Stop() as stop:
            proven = until_interrupted([partial(prove, stop)], stop, 1)[0].result()
    except Interrupted:
        notice(f"{failed}: interrupted")
    except CapadviseError as error:
        failure(failed, error)
    else:
        return replace(report, proven=proven)
    return report


def _on_stderr(name: str) -> TrialListener:
    trials: list[Trial] = []
    began = time.monotonic()
    most = [0]

    def expected(count: int) -> None:
        most[0] = count
        progress(f"{name}: {counted(count, 'trial')}, more if a member can be dropped")

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
        starting=lambda *_: None,
        ended=ended,
        hopeless=hopeless,
        sharing=lambda text: notice(f"{name}: {text}"),
    )
