"""``capadvise prove``: run it with exactly that set, and show that no member can go."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from capadvise import workload
from capadvise.caps import CapSet
from capadvise.catalog import default
from capadvise.commands.outcome import default_path, safe_name, writable
from capadvise.commands.say import say
from capadvise.decide import Proposal, decide, decide_all
from capadvise.errors import BadInput, CapadviseError, Exit
from capadvise.linux.ftrace.instances import require
from capadvise.linux.trials import runner
from capadvise.linux.trials.runner import BrokenTrial
from capadvise.prove import Interrupted, NotProvable, TrialOutcome, fewest, prove
from capadvise.proven import Proven, Trial, conclude
from capadvise.recording import Recording
from capadvise.report.dump import dump
from capadvise.report.escape import printable
from capadvise.report.load import load
from capadvise.report.model import Report
from capadvise.report.save import save
from capadvise.report.text import proposal_text, trial_text
from capadvise.workload import Workload

_T = TypeVar("_T")
_SHARED = (
    "the trials share all with this machine: mounts, network, host name, IPC, and every file that "
    "they write to"
)
PROVE_TIMEOUT, _SHORTEST = 30.0, 10.0
"""Seconds for a trial of a recorded command that was given no time of its own."""


def command(args: argparse.Namespace) -> int:
    """Prove each workload of a file, or the command of a report."""
    require()
    jobs = list(_jobs(Path(args.file), isolate=args.isolate, reuse_volumes=args.reuse_volumes))
    single = len(jobs) == 1
    if args.output:
        writable(Path(args.output), folder=not single)

    stop = runner.Stop()

    def one(entry: tuple[str, runner.Job, Report | None]) -> Report | BrokenTrial:
        name, job, known = entry
        try:
            report = prove_job(job, known, stop, _talk(name), name=name)
        except Interrupted:
            return BrokenTrial("interrupted before the first trial ended")
        except BrokenTrial as error:
            return error
        save(_path(args.output, name, single=single), report, default())
        return report

    calls = [partial(one, job) for job in jobs]
    results = [future.result() for future in _until_interrupted(calls, stop, args.jobs)]
    reports = [result for result in results if isinstance(result, Report)]
    if args.json:
        documents = [dump(report, default()) for report in reports]
        print(json.dumps(documents[0] if single and documents else documents, indent=1))
    for (name, _, _), result in zip(jobs, results, strict=True):
        if isinstance(result, BrokenTrial):
            say(f"error: {name}: {result}")
        elif not args.json:
            path = _path(args.output, name, single=single)
            print("", *proposal_text(result, default(), path), sep="\n")
    proven = [report.proven for report in reports]
    if stop.asked or any(proof is not None and not proof.complete for proof in proven):
        return Exit.INTERRUPTED
    good = len(reports) == len(jobs) and all(proof and proof.floor is not None for proof in proven)
    return Exit.OK if good else Exit.FAILED


def _until_interrupted(
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
    """As Ctrl-C, but once: kernel and shell both tell it."""
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _path(output: str | None, name: str, *, single: bool) -> Path:
    """Where a report goes; with several workloads, ``-o`` names a folder."""
    if output is None:
        return default_path(name)
    return Path(output) if single else Path(output) / f"{safe_name(name)}.json"


@dataclass(frozen=True, slots=True)
class Watch:
    """Who is told of the trials of one workload as they go. Called in the thread that runs them."""

    expected: Callable[[int], None]
    """With the number of trials, if the recommended set works and is the floor."""
    starting: Callable[[CapSet], None]
    ended: Callable[[Trial], None]
    hopeless: Callable[[str, str], None]
    """It fails even with everything: why, and what it printed."""


def prove_job(
    job: runner.Job, known: Report | None, stop: runner.Stop, watch: Watch, *, name: str
) -> Report:
    """Run the trials of one workload; the report says what came of them.

    Raises BrokenTrial when no trial could be made.
    """
    everything = runner.everything(job)
    watch.starting(everything)
    first, seen = runner.run(job, everything, stop)
    recordings = known.recordings if known else (seen.recording,)
    report = Report(
        known.target if known else replace(seen.target, name=name),
        job.workload,
        known.posture if known else seen.posture,
        recordings,
        decide_all(recordings, default()),
    )
    if known and first.passed:
        job = replace(job, workload=_patient(job.workload, first.seconds))
    watch.expected(fewest(report.proposal.recommended))

    def run_trial(caps: CapSet) -> TrialOutcome:
        watch.starting(caps)
        outcome, _ = runner.run(job, caps, stop)
        return outcome

    try:
        proven = prove(
            report.proposal,
            everything,
            first,
            run_trial,
            isolation=job.isolation,
            removal_order=default().removal_order,
            untried=_unused(report.proposal, seen.recording) if known else frozenset(),
            say=watch.ended,
        )
    except NotProvable as error:
        watch.hopeless(error.outcome.why, seen.output)
        trial = Trial(everything, False, first.seconds, differences=(first.why,))
        return replace(report, proven=Proven(job.isolation, (trial,), None))
    return replace(report, proposal=conclude(report.proposal, proven), proven=proven)


def _unused(proposal: Proposal, trial: Recording) -> CapSet:
    """What was used in the recording, but not in a trial: what somebody did by hand then, or what
    was to be done but once."""
    seen = decide(trial, default())
    others = (cap for need in seen.needs for group in need.alternatives for cap in group)
    return proposal.recommended - seen.recommended - frozenset(others)


def _patient(work: Workload, seconds: float) -> Workload:
    """What passes within ``seconds`` with everything is not waited for as long as what nobody has
    seen yet: a daemon that lives on without doing its job costs the whole time, each time."""
    return replace(work, timeout=min(work.timeout, max(_SHORTEST, 5 * seconds)))


def _talk(name: str) -> Watch:
    """Progress on a terminal's stderr, line by line."""
    seen: list[Trial] = []

    def ended(trial: Trial) -> None:
        seen.append(trial)
        _progress(f"  trial {len(seen)}: {trial_text(trial, seen[0].caps)}")

    def hopeless(why: str, output: str) -> None:
        say(f"{name} does not pass even with every capability: {why}")
        for line in output.splitlines()[-20:]:
            print(f"    {printable(line)}", file=sys.stderr)

    return Watch(
        expected=lambda count: _progress(f"{name}: {count} trials, more if one of the set can go"),
        starting=lambda _: None,
        ended=ended,
        hopeless=hopeless,
    )


def prove_report(report: Report) -> Report:
    """Prove what was just recorded. What stands in the way is said, and the report as good as
    before; Ctrl-C ends the trials and keeps the best set."""
    stop = runner.Stop()
    name = report.target.name
    try:
        job = job_of(report, isolate=True)
        call = partial(prove_job, job, report, stop, _talk(name), name=name)
        return _until_interrupted([call], stop, 1)[0].result()
    except Interrupted:
        say("interrupted before the first trial ended")
    except CapadviseError as error:
        say(f"not proven: {error}")
    return report


def _jobs(
    path: Path, *, isolate: bool, reuse_volumes: bool
) -> Iterator[tuple[str, runner.Job, Report | None]]:
    if _is_json(path):
        report = load(path, default())
        if len(report.recordings) > 1:
            say(
                f"note: {path} is merged of {len(report.recordings)} runs, and trials show only "
                "what its own check needs"
            )
        job = job_of(report, isolate=isolate, reuse_volumes=reuse_volumes)
        if job.isolation == "none":
            say(f"note: {_SHARED}")
        yield report.target.name, job, report
        return
    for named in workload.load(path):
        if named.workload.kind == "daemon" and not named.workload.check:
            raise BadInput(f"{path}: {named.name}: a daemon needs a check")
        if not isolate:
            raise BadInput("--no-isolate is for a report; a workload file is always isolated")
        bench = os.environ.get("BENCH") or str(path.resolve().parent.parent)
        yield named.name, runner.Job(named.argv, named.workload, "workload", bench=bench), None


def job_of(
    report: Report, *, isolate: bool, reuse_volumes: bool = False, new_check: bool = False
) -> runner.Job:
    """The trials of a recorded command: where it was started, as whom it was started.

    ``new_check``: the recorded run knew nothing of the check; the first trial says whether it
    passes at all.
    """
    work = report.workload
    if work.kind == "daemon" and not work.check:
        raise BadInput(
            "the report holds no check, so that no trial could tell success",
            hint="record it again with --check SHELL",
        )
    if report.recording.succeeded is not True and not new_check:
        failed = report.recording.succeeded is False
        raise BadInput(
            f"the recorded run {'did not end well' if failed else 'was stopped, without a check'}, "
            "so that no trial could tell success",
            hint="record it again so that it exits with 0, or give it a check that it passes",
        )
    timeout = max(PROVE_TIMEOUT, 3 * report.recording.seconds)
    expect = report.recording.exit_status if work.kind == "oneshot" else None
    if report.target.kind == "container":
        if not isolate:
            raise BadInput("--no-isolate is for commands", hint="for containers: --reuse-volumes")
        return runner.Job(
            report.target.argv,
            replace(work, timeout=timeout, expect_exit=expect),
            "container",
            cwd=report.target.cwd,
            service=report.target.service,
            reuse_volumes=reuse_volumes,
            limit=report.recording.held.bounding,
        )
    uid = report.target.user.partition(":")[0]
    return runner.Job(
        report.target.argv,
        replace(work, timeout=timeout, expect_exit=expect),
        "command" if isolate else "none",
        cwd=report.target.cwd,
        user=None if uid == "0" else uid,
    )


def _is_json(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            first = file.read(64).lstrip()[:1]
        return path.suffix not in (".yaml", ".yml") and first == b"{"
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from error


def _progress(text: str) -> None:
    """Progress, for those who watch."""
    if sys.stderr.isatty():
        print(printable(text), file=sys.stderr, flush=True)
