"""The trial with every capability, by which the others are measured: they need not do more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from capadvise.judgement.trial_outcome import TrialOutcome
from capadvise.kernel import procfs
from capadvise.model.caps import CapSet
from capadvise.model.workload import ONE_START, TWO_RUNS
from capadvise.proof.trials import choices, runner
from capadvise.proof.trials.runner import Part, SoFar
from capadvise.proof.trials.stop import Stop

_SHORTEST_STILL = 3.0
"""Seconds that one may stand still at least, before it is given up."""
_SHORTEST = 6.0
"""Seconds that a trial is given at least, where one passes sooner with every capability."""

_LITTLE = 512 << 20
"""Bytes of memory; a scratch directory that may take no more than that is on disk."""


@dataclass(frozen=True, slots=True)
class Reference:
    """The trial with everything."""

    job: runner.Job
    """As the others are run."""
    outcome: TrialOutcome
    evidence: runner.TrialEvidence
    cautions: tuple[str, ...] = ()
    """What was left out, a sentence each."""


def first_trial(
    job: runner.Job,
    stop: Stop,
    starting: Callable[[CapSet], None],
    begun: Callable[[Reference], None] | None = None,
) -> Reference:
    """The trial with everything. Of the data and of a lifecycle that nobody asked for, as much is
    kept as it passes with. ``begun`` is told what its first start has shown.

    Raises BrokenTrial when it could not be made.
    """
    starting(runner.everything(job))
    if job.isolation == "workload" and job.cwd is None:
        in_memory = replace(job, memory=_spare_memory())
        reference = _reference(in_memory, stop, begun)
        if reference.outcome.passed or not in_memory.memory:
            return reference
    return _reference(job, stop, begun)  # there are files that only a disk can hold


def _spare_memory() -> int:
    """A part of what is free; 0 where that is little."""
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
        so_far = None if begun is None or len(job.choices) > 1 else _told(one, begun)
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
    if evidence.stop is not None and evidence.stop.killed:
        cautions.append("it does not stop when told to: stopping is not proven")
    job = _as_it_passed(replace(job, choices=tuple(passed)), outcome, evidence)
    return Reference(job, outcome, evidence, tuple(dict.fromkeys(cautions)))


def _told(job: runner.Job, begun: Callable[[Reference], None]) -> SoFar:
    return lambda part: begun(Reference(_as_it_passed(job, *part), *part))


def _as_it_passed(
    job: runner.Job, outcome: TrialOutcome, evidence: runner.TrialEvidence
) -> runner.Job:
    """As the other trials are made."""
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
}


def _as_far_as_it_passes(
    job: runner.Job, stop: Stop, so_far: SoFar | None
) -> tuple[runner.Job, Part, list[str]]:
    everything = runner.everything(job)
    part = runner.run_once(job, everything, stop, so_far)
    outcome, evidence = part
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
    """What passes within ``seconds`` with everything is not waited for as long as what nobody has
    seen yet: a daemon that lives on without doing its job costs the whole time, each time. One that
    stands still is given up before; beside others, on a busy machine, a slow start takes longer
    than what is given to the first trial."""
    limit, work = max(_SHORTEST, 6 * seconds), job.workload
    return limit if _is_recorded_daemon(job) else min(work.timeout, limit)


def _is_recorded_daemon(job: runner.Job) -> bool:
    """Its time is no user's choice."""
    return job.workload.kind == "daemon" and job.isolation != "workload"
