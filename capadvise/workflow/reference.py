"""The trial with everything, which the others are measured by: what it cannot do, no other need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from capadvise.caps import CapSet
from capadvise.linux.trials import choices, runner
from capadvise.linux.trials.choices import Part
from capadvise.prove import TrialOutcome
from capadvise.workload import ONE_START, Workload

_SHORTEST = 6.0
"""Seconds that a trial is given at least, where one passes sooner with every capability."""


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
    job: runner.Job, stop: runner.Stop, starting: Callable[[CapSet], None]
) -> Reference:
    """The trial with everything. Of the data and of a lifecycle that nobody asked for, as much is
    kept as it passes with.

    Raises BrokenTrial when it could not be made.
    """
    starting(runner.everything(job))
    cautions: list[str] = []
    passed: dict[str, Part] = {}
    failed: Part | None = None
    for choice in job.choices:
        if choice == "new-volumes" and "fresh" in passed:
            continue
        one = replace(job, choices=(choice,))
        lifecycle, part, caution = _as_far_as_it_passes(one, stop)
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
    starts = len(job.workload.rounds) * len(passed)
    patient = _patient(job.workload, outcome.seconds / starts)
    job = replace(job, workload=patient, stop=evidence.stop, choices=tuple(passed))
    return Reference(job, outcome, evidence, tuple(dict.fromkeys(cautions)))


_LEFT_OUT = {
    "fresh": "with empty folders and new volumes it fails even with every capability",
    "new-volumes": "with new volumes it fails even with every capability",
    "copy": "on the existing data it fails even with every capability",
}


def _as_far_as_it_passes(job: runner.Job, stop: runner.Stop) -> tuple[runner.Job, Part, list[str]]:
    everything = runner.everything(job)
    part = runner.run_once(job, everything, stop)
    outcome, evidence = part
    if outcome.passed or not evidence.rounds_passed or job.workload.steps is not None:
        return job, part, []
    caution = (
        f"a second start fails even with every capability ({outcome.why}): only the "
        "first one is proven"
    )
    job = replace(job, workload=replace(job.workload, steps=ONE_START))
    return job, runner.run_once(job, everything, stop), [caution]


def _patient(work: Workload, seconds: float) -> Workload:
    """What passes within ``seconds`` with everything is not waited for as long as what nobody has
    seen yet: a daemon that lives on without doing its job costs the whole time, each time."""
    return replace(work, timeout=min(work.timeout, max(_SHORTEST, 6 * seconds)))
