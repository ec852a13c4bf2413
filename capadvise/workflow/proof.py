"""Prove one workload: make its trials, and put the result into its report."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from capadvise.catalog import default
from capadvise.judgement.decide import Proposal, decide_all
from capadvise.judgement.flags import written_by
from capadvise.judgement.proven import (
    ENDED_EARLY,
    Interrupted,
    Proven,
    Trial,
    TrialOutcome,
    conclude,
    unfinished,
)
from capadvise.judgement.report import Report
from capadvise.kernel import procfs, scratch
from capadvise.kernel.procfs import busy_seconds
from capadvise.model.caps import Cap, CapSet
from capadvise.model.companion import KNOWN, Companion, Pairs, is_plain
from capadvise.model.recording import Recording
from capadvise.model.workload import ONE_START, TWO_RUNS, only_greets, only_listens, only_refuses
from capadvise.proof.attempts import Attempt, LikelyAttempts
from capadvise.proof.plan import Beside, SearchTask, fewest, prove, settle
from capadvise.proof.trials import choices, groups, runner
from capadvise.proof.trials.runner import Part, SoFar
from capadvise.proof.trials.stop import Stop
from capadvise.report.lines import listed
from capadvise.report.merge import numbered
from capadvise.workflow.jobs import TRY_IN_PLACE, Candidate, changes_settings
from capadvise.workflow.protocols import Starting
from capadvise.workflow.side_by_side import SideBySide, waiting_places
from capadvise.workflow.upgrade import of_another_owner, with_old_data

_UNASKED = (
    "trials see only that it listens on {}, not that a client is served there; --check can ask it"
)
_REFUSED = "trials ask for the page / alone, which is an error on {}; --check can ask for another"
_STANDS_STILL = (
    "each trial takes the unit's place for about {:.0f} s, some {:.0f} s in all: it does not serve "
    "then"
)
_STOOD_STILL = "trials took the unit's place for {:.0f} s"
_NO_LOGIN = "trials see no login on {}, which can need more; --check can log in"


@dataclass(frozen=True, slots=True)
class TrialListener:
    """Callbacks about the trials of one workload; called in the thread that runs them."""

    expected: Callable[[int], None]
    """Gets the number of trials, if the recommended set works and is minimal."""
    starting: Starting
    ended: Callable[[Trial], None]
    hopeless: Callable[[str, str], None]
    """It fails even with everything: gets the reason, and the output."""
    sharing: Callable[[str], object] = lambda _: None
    """Gets a sentence about what further trials share with the machine, before them."""


def prove_job(
    candidate: Candidate,
    stop: Stop,
    listener: TrialListener,
    workers: int = 1,
    *,
    so_far: Callable[[Report], object] = lambda _: None,
    twice: bool = False,
) -> Report:
    """Run the trials of one workload, ``workers`` of them side by side; return the report with the
    result. ``so_far`` gets the report so far after each trial. ``twice``: only those that settle
    the doubts of its recording.

    Raises BrokenTrial if no trial could be made.
    """
    proof = _Proof(candidate, stop, listener, workers, so_far)
    with proof.trials:
        return proof.run_again() if twice else proof.report()


class _Proof:
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
        """The job of the next trials: the first trial changes it."""
        if self._job.isolation == "container":  # most of the time we wait for the engine
            workers *= 2
        self._workers = 1 if self._job.alone else workers
        self._began, self._busy = time.monotonic(), busy_seconds()
        self._widened = False
        self._stood_still, self._one_start = 0.0, 0.0
        """Seconds that trials took, and that the one with everything took."""
        self.trials = SideBySide(self._run, stop, self._workers)

    def _run(self, attempt: Attempt, observed: bool, part: Stop) -> TrialOutcome:
        self._listener.starting(attempt.caps, attempt.beside)
        # Chance shows in a second trial with everything by other checks, too.
        observed = observed or attempt.caps == runner.everything(self._job)
        job = replace(self._job, observed=observed, beside=attempt.beside)
        if attempt.patient:
            job = self._patient(job)
        self._require_downtime()
        outcome = choices.run(job, attempt.caps, part)[0]
        self._stood_still += outcome.seconds
        if attempt.patient and outcome.passed:  # others can take as long
            self._job = self._patient(self._job)
        return outcome

    def _require_downtime(self) -> None:
        """Raise BrokenTrial if another start of the unit could take it beyond the limit."""
        limit = self._job.downtime
        if limit is not None and self._stood_still + self._one_start > limit:
            raise runner.BrokenTrial(
                f"trials have stood in the place of the unit for {self._stood_still:.0f} s, and "
                f"--downtime allows {limit:.0f} s"
            )

    def _patient(self, job: runner.Job) -> runner.Job:
        timeout = max(self._candidate.job.workload.timeout, job.workload.timeout)
        return replace(job, workload=replace(job.workload, timeout=timeout), still_limit=None)

    def _begin_early(self, reference: Reference) -> None:
        """Begin trials before the first one has ended. When its first start has passed, begin two,
        which are useful whatever the second start needs; all of them would slow that start down,
        and most would be wasted. When its second start has passed, begin all."""
        again = any(recording.start > 1 for recording in reference.evidence.recordings)
        self._begin(reference, None if again else 2)

    def _begin(self, reference: Reference, number: int | None = None) -> None:
        """Begin the likely trials, or the first ``number`` of them. Trials that have begun before
        are kept if they are made in the same way."""
        if not _alike(self._job, reference.job):
            self.trials.ahead(())
        self._job = reference.job
        self._widen()
        starts = reference.evidence.rounds_passed * len(self._job.choices)
        self.trials.expect(0.5 + reference.outcome.seconds / starts)  # until a check passes
        proposal = _before_trials(self._candidate, reference).proposal
        attempts = LikelyAttempts(
            proposal,
            runner.everything(self._job),
            default().removal_order,
            _known_companions(self._job, proposal),
        )
        self.trials.ahead(attempts.at_first()[:number])

    def _widen(self) -> None:
        """Allow more trials at once if the first one has left the processors idle."""
        if self._job.isolation == "container" and not self._widened:
            self._widened = True
            busy = (busy_seconds() - self._busy) / (time.monotonic() - self._began)
            self.trials.add_places(waiting_places(self._workers, busy))

    def report(self) -> Report:
        """Make all trials, also those of an upgrade, and return the report with the result."""
        made = self._job.container
        if made is None or not (made.upgrades_from or made.adapts):
            return self._report()
        with scratch.scratch(scratch.LARGE) as folder:
            if made.upgrades_from:
                self._job = with_old_data(self._job, made.upgrades_from, folder, self._stop)
                return self._report()
            report = self._report()
            proven = report.proven
            if proven is None or proven.minimal is None or not proven.complete:
                return report
            return self._at_an_upgrade(report, proven, folder)

    def _at_an_upgrade(self, report: Report, proven: Proven, folder: Path) -> Report:
        try:
            trials, recordings = of_another_owner(report, self._job, folder, self._stop)
        except Interrupted:
            return report
        except runner.BrokenTrial as error:
            said = f"an upgrade is not proven: {error}"
            return replace(report, proven=replace(proven, cautions=(*proven.cautions, said)))
        for trial in trials:
            self._listener.ended(trial)
        proven = replace(proven, trials=(*proven.trials, *trials))
        recordings = numbered([*report.recordings, *recordings])
        proposal = conclude(decide_all(recordings, default()), proven)
        return replace(report, recordings=recordings, proposal=proposal, proven=proven)

    def _report(self) -> Report:
        reference = first_trial(
            self._job,
            self._stop,
            self._listener.starting,
            self._begin_early,
            self._listener.sharing,
        )
        self._stood_still = self._one_start = reference.outcome.seconds
        report = _before_trials(self._candidate, reference)
        if not reference.outcome.passed:
            return self._hopeless(report, reference)
        self._begin(reference)
        number = fewest(report.proposal.recommended)
        self._listener.expected(number)
        if self._job.isolation == "unit":
            self._listener.sharing(_STANDS_STILL.format(self._one_start, number * self._one_start))
        proven = self._watched(self._search(report, reference), report)
        broken = self.trials.broken
        early = [] if broken is None else [f"{ENDED_EARLY}: {broken}"]
        if self._job.isolation == "unit":
            early.append(_STOOD_STILL.format(self._stood_still))
        cautions = (*reference.cautions, *_unasked(report.workload.check), *early)
        stop = self._job.stop
        proven = replace(
            proven,
            cautions=(*cautions, *proven.cautions),
            user_namespace=self._job.userns,
            date=today(),
            leaves_nothing=stop is not None and stop.leaves_nothing,
        )
        return replace(report, proposal=conclude(report.proposal, proven), proven=proven)

    def run_again(self) -> Report:
        """Settle the doubts of the recording: run the command without what is in doubt, beside a
        run with everything, which shows what is to be compared."""
        report = self._candidate.known
        assert report is not None
        doubtful, everything = report.proposal.in_doubt, runner.everything(self._job)
        less = (report.proposal.recommended - doubtful) & everything
        self.trials.ahead([Attempt(less)])
        reference = passing_reference(
            self._job, self._stop, self._listener.starting, self._listener.sharing
        )
        if reference.job.shared != self._job.shared:  # the other run lacked these
            self.trials.ahead(())
        self._job = reference.job
        seen = decide_all(reference.evidence.recordings, default())
        task = SearchTask(
            *(report.proposal, everything, reference.outcome, self._job.isolation),
            default().removal_order,
        )
        refused = doubtful & everything & (seen.in_doubt | seen.recommended)
        try:
            again = settle(task, refused, self.trials, say=self._listener.ended)
        except Interrupted as error:
            raise (self.trials.broken or error) from None
        readers = {*report.proposal.set_readers} <= {*seen.set_readers}
        again = replace(again, own_sets=again.settled and readers)
        recordings = (replace(report.recording, second_run=again), *report.recordings[1:])
        return replace(report, recordings=recordings, proposal=decide_all(recordings, default()))

    def _watched(self, proven: Proven, report: Report) -> Proven:
        """Try the proposed set of a unit without a health check once more, for as long as such a
        unit is watched: other trials end when all has happened that needs the set."""
        known, work = self._candidate.known, self._job.workload
        long = known.workload.check_after if known else 0.0
        if proven.minimal is None or not proven.complete or long <= work.check_after:
            return proven
        caps = conclude(report.proposal, proven).recommended
        work = replace(work, check_after=long, timeout=work.timeout + long, steps=ONE_START)
        self._job = replace(self._job, workload=work, still_limit=None)
        try:
            outcome = self.trials(caps)
        except Interrupted:
            return replace(proven, complete=False)
        why = () if outcome.passed else (outcome.why,)
        trial = Trial(caps, outcome.passed, outcome.seconds, differences=why)
        self._listener.ended(trial)
        sound = proven.recommended_sound if outcome.passed else False
        return replace(proven, trials=(*proven.trials, trial), recommended_sound=sound)

    def _search(self, report: Report, reference: Reference) -> Proven:
        made: list[Trial] = []

        def say(trial: Trial) -> None:
            made.append(trial)
            self._listener.ended(trial)
            self._so_far(replace(report, proven=unfinished(self._job.isolation, made)))

        flags = written_by(report, self._job.isolation, default())
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
                _known_companions(self._job, report.proposal),
                lambda minimal: _companions_by_retries(self._job, minimal, self._stop),
                lambda _: flags,
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
            date=today(),
        )
        return replace(report, proven=proven)


def today() -> str:
    """The day, as a proof has it."""
    return time.strftime("%Y-%m-%d", time.gmtime())


def _before_trials(candidate: Candidate, reference: Reference) -> Report:
    """The report before any trial: the proposal of the recordings."""
    known, job, evidence = candidate.known, reference.job, reference.evidence
    recordings = _recordings(known, job, evidence)
    return Report(
        known.target if known else replace(evidence.target, name=candidate.name),
        replace(job.workload, check_after=known.workload.check_after) if known else job.workload,
        known.posture if known else evidence.posture,
        recordings,
        decide_all(recordings, default()),
    )


def _alike(one: runner.Job, other: runner.Job) -> bool:
    """True if the outcomes of one count for the other."""
    return (one.workload.steps, one.choices, _manner(one.stop)) == (
        other.workload.steps,
        other.choices,
        _manner(other.stop),
    )


def _manner(stop: runner.StopSeen | None) -> tuple[bool, ...] | None:
    return None if stop is None else (stop.killed, stop.clean, stop.leaves_nothing)


def _recordings(
    known: Report | None, job: runner.Job, evidence: runner.TrialEvidence
) -> tuple[Recording, ...]:
    """The recordings, and those starts of the trial with everything that no recording has seen: on
    the data that its first start has left, and with other data."""
    if known is None:
        return numbered(evidence.recordings)
    later = [item for item in evidence.recordings if item.start > 1 or len(job.choices) > 1]
    seen = [recording for recording in known.recordings if recording.start == 1]
    return numbered([*seen, *later])


def _unused(candidate: Candidate, proposal: Proposal, reference: Reference) -> CapSet:
    """The capabilities that the recording needed and the first trial did not: for an action of the
    user, or for one that is only done once. A trial can be given no others."""
    if candidate.known is None:
        return frozenset()
    in_trial = decide_all(reference.evidence.recordings, default())
    others = (cap for need in in_trial.needs for group in need.alternatives for cap in group)
    unused = proposal.recommended - in_trial.recommended - frozenset(others)
    return unused & runner.everything(reference.job)


def _unasked(check: str | None) -> list[str]:
    seen = (
        (_UNASKED, only_listens(check)),
        (_REFUSED, only_refuses(check)),
        (_NO_LOGIN, only_greets(check)),
    )
    return [words.format(", ".join(ports)) for words, ports in seen if ports]


# --------------------------------------------------- what stands beside a set


def _known_companions(job: runner.Job, proposal: Proposal) -> Pairs:
    files = _without_file_caps(job, proposal)
    unused = frozenset[Cap]().union(*(caps for caps, _ in files))
    return (*(one for one in KNOWN if job.takes_settings and not one[0] <= unused), *files)


def _without_file_caps(job: runner.Job, proposal: Proposal) -> Pairs:
    """Capabilities that are only needed to execute program files, and these files without them."""
    unused = [need for need in proposal.needs if need.files and not need.evidence]
    paths = sorted({path for need in unused for path in need.files})
    by_copy = job.isolation in ("container", "unit")
    cannot = by_copy and os.statvfs(scratch.SMALL).f_flag & os.ST_NOEXEC
    if job.isolation == "none" or cannot or not paths or not all(map(is_plain, paths)):
        return ()
    caps = frozenset(need.cap for need in unused)
    return ((caps, Companion.without_file_caps(paths)),)


def _companions_by_retries(job: runner.Job, minimal: CapSet, stop: Stop) -> Pairs:
    """The groups of the files that it may not access, by retries of the refused calls. Retries are
    not possible for containers and units, whose processes the engine or systemd starts, or in a
    user namespace."""
    needing = sorted(minimal & groups.FILE_CAPS)
    if not needing or job.isolation not in ("command", "workload") or job.userns:
        return ()
    retried = replace(job, retry=True, choices=job.choices[:1])
    try:
        _, evidence = runner.run_once(retried, runner.everything(retried), stop)
    except runner.BrokenTrial:  # there are no retries here
        return ()
    if not evidence.groups:
        return ()
    companion = Companion.of_groups(map(groups.name, evidence.groups))
    return [(frozenset({cap}), companion) for cap in needing]


# ------------------------------------------------------------ the first trial

_SHORTEST_STILL = 3.0
"""The least time in seconds without progress before a trial is given up."""
_SHORTEST = 6.0
"""The least time limit of a trial in seconds, however soon the first one passes."""
_LITTLE = 512 << 20
"""Bytes: with less spare memory than this, the scratch directory is on disk."""


@dataclass(frozen=True, slots=True)
class Reference:
    """The trial with everything."""

    job: runner.Job
    """The job of the other trials."""
    outcome: TrialOutcome
    evidence: runner.TrialEvidence
    cautions: tuple[str, ...] = ()
    """The parts that were left out, a sentence each."""


def passing_reference(
    job: runner.Job,
    stop: Stop,
    starting: Starting,
    sharing: Callable[[str], object] = lambda _: None,
) -> Reference:
    """The same as ``first_trial``; raises BrokenTrial also if it fails."""
    first = first_trial(job, stop, starting, sharing=sharing)
    if not first.outcome.passed:
        raise runner.BrokenTrial(f"it does not pass even with everything: {first.outcome.why}")
    return first


def first_trial(
    job: runner.Job,
    stop: Stop,
    starting: Starting,
    begun: Callable[[Reference], None] | None = None,
    sharing: Callable[[str], object] = lambda _: None,
) -> Reference:
    """Make the trial with everything, by which the others are measured. Choices of data, and a
    second start that the user did not ask for, are left out if it does not pass with them.
    ``begun`` gets the result of its first start. A recorded command that fails gets the sockets of
    the machine that it tried to connect to; ``sharing`` gets the sentence before that.

    Raises BrokenTrial if it could not be made.
    """
    starting(runner.everything(job), ())
    if job.isolation == "workload" and job.cwd is None:
        in_memory = replace(job, memory=_spare_memory())
        reference = _reference(in_memory, stop, begun)
        if reference.outcome.passed or not in_memory.memory:
            return reference
    reference = _reference(job, stop, begun)  # of a workload: its files may need a disk
    tried = reference.evidence.sockets if job.isolation == "command" else ()
    if reference.outcome.passed or not (shared := _open_sockets(tried, job.cwd or "/")):
        return reference
    text = f"trials reach {listed(shared)} of this machine: without, the command fails"
    sharing(text)
    return _reference(replace(job, shared=shared, cautions=(*job.cautions, text)), stop, begun)


def _open_sockets(paths: Sequence[str], cwd: str) -> tuple[str, ...]:
    """Those that somebody on this machine has open, by their real names."""
    there = {os.path.realpath(path) for path in procfs.local_sockets() if path.startswith("/")}
    wanted = {os.path.realpath(os.path.join(cwd, path)) for path in paths}
    return tuple(sorted(path for path in wanted & there if stat.S_ISSOCK(os.stat(path).st_mode)))


def _spare_memory() -> int:
    """A quarter of the free memory; 0 if that is little."""
    part = procfs.available_memory() // 4
    return part if part >= _LITTLE else 0


def _reference(job: runner.Job, stop: Stop, begun: Callable[[Reference], None] | None) -> Reference:
    cautions: list[str] = list(job.cautions)
    passed: dict[str, Part] = {}
    failed: Part | None = None
    for choice in job.choices:
        if choice == "new-volumes" and "fresh" in passed:
            continue
        one = replace(job, choices=(choice,))
        so_far = None if begun is None or len(job.choices) > 1 else _so_far(one, begun)
        lifecycle, part, caution = _as_far_as_it_passes(one, stop, so_far)
        job = replace(job, workload=lifecycle.workload)
        cautions += caution
        if part[0].passed:
            passed[choice] = part
        else:
            failed = part
            if len(job.choices) > 1:
                cautions.append(f"{_LEFT_OUT[choice]}: {part[0].why}")
    if not passed:
        assert failed is not None
        return Reference(job, *failed)
    outcome, evidence = choices.combined(list(passed.values()), list(passed))
    if evidence.changed:
        cautions.append(f"trials changed this machine: {listed(evidence.changed)}")
    if evidence.stop is not None and evidence.stop.killed:
        cautions.append("it does not stop on the stop signal: stopping is not proven")
    job = _as_it_passed(replace(job, choices=tuple(passed)), outcome, evidence)
    return Reference(job, outcome, evidence, tuple(dict.fromkeys(cautions)))


def _so_far(job: runner.Job, begun: Callable[[Reference], None]) -> SoFar:
    def tell(part: Part) -> None:
        if not (part[1].changed and job.isolation == "command"):  # else no other trial begins
            begun(Reference(_as_it_passed(job, *part), *part))

    return tell


def _as_it_passed(
    job: runner.Job, outcome: TrialOutcome, evidence: runner.TrialEvidence
) -> runner.Job:
    """The job of the other trials, with the times and the stop of this one."""
    starts = evidence.rounds_passed * len(job.choices)
    seconds = outcome.seconds / starts
    until_passed = (outcome.seconds - (evidence.stop.seconds if evidence.stop else 0)) / starts
    return replace(
        job,
        workload=replace(job.workload, timeout=_timeout(job, seconds)),
        stop=evidence.stop,
        still_limit=max(_SHORTEST_STILL, 2 * until_passed) + job.workload.check_after,
    )


_LEFT_OUT = {
    "fresh": "with empty folders and new volumes it fails even with every capability",
    "volumes": "with new volumes in place of its folders it fails even with every capability",
    "new-volumes": "with new volumes it fails even with every capability",
    "copy": "on the existing data it fails even with every capability",
    "upgrade": "on the data of the old image it fails even with every capability",
}


def _as_far_as_it_passes(
    job: runner.Job, stop: Stop, so_far: SoFar | None
) -> tuple[runner.Job, Part, list[str]]:
    everything = runner.everything(job)
    part = runner.run_once(job, everything, stop, so_far)
    outcome, evidence = part
    if evidence.changed and job.isolation == "command":
        said = changes_settings(evidence.changed, "the first one did")
        raise runner.BrokenTrial(said, hint=TRY_IN_PLACE)
    unasked = job.workload.steps in (None, TWO_RUNS)
    if outcome.passed or not evidence.rounds_passed or not unasked:
        return job, part, []
    caution = (
        f"a second start fails even with every capability ({outcome.why}): only the "
        "first one is proven"
    )
    once = ONE_START if job.workload.kind == "daemon" else None
    job = replace(job, workload=replace(job.workload, steps=once))
    return job, runner.run_once(job, everything, stop), [caution]


def _timeout(job: runner.Job, seconds: float) -> float:
    """The time limit of a trial of a job that passes within ``seconds`` with everything. It is
    shorter than the first trial's, since a daemon that lives on without doing its job costs the
    whole time in each trial; but a multiple of ``seconds``, since trials side by side are slower.
    A daemon that stands still is given up before."""
    limit, work = max(_SHORTEST, 6 * seconds), job.workload
    chosen = work.kind != "daemon" or job.isolation == "workload"  # a recorded daemon has no limit
    return min(work.timeout, limit) if chosen else limit
