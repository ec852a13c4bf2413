"""Upgrades: trials on the volumes that an older image has filled, or might have."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from capadvise.catalog import default
from capadvise.judgement.decide import decide_all
from capadvise.judgement.proven import Trial
from capadvise.judgement.report import Report
from capadvise.model.errors import BadInput
from capadvise.model.recording import Recording
from capadvise.model.workload import ONE_START, without_programs
from capadvise.proof.trials.runner import BrokenTrial, Job, everything, run_once
from capadvise.proof.trials.stop import Stop
from capadvise.targets.client.client import Client, EngineError
from capadvise.targets.client.invocation import Invocation
from capadvise.targets.containers.data import UPGRADE, filled
from capadvise.targets.image.archive import Config, config_of
from capadvise.targets.image.ownership import file_in_image

_MOST_SCRIPT = 64 << 10
_ADAPTS = re.compile(rb"\b(?:chown|chmod)\b|\bfind\b.*\s-user\b")
"""A start that gives old data another owner or mode, or looks for it."""

_SHELLS = {prefix + name for prefix in ("", "/bin/", "/usr/bin/") for name in ("sh", "bash")}


def require_same_program(client: Client, old: str, new: str) -> None:
    """Raises BadInput if an image is not there, or has another program than the new one."""
    try:
        client.pull(old)
        one, other = _config(client, old), _config(client, new)
    except EngineError as error:
        raise BadInput(f"--from: {error}") from error
    if _marks(one, old).isdisjoint(_marks(other, new)):
        raise BadInput(
            f"--from: {old} is an image of another program than {new}: neither its name, nor what "
            "it starts, nor a volume is the same"
        )


def _config(client: Client, image: str) -> Config:
    return config_of(json.loads(client.described_image(image))[0])


def _marks(config: Config, image: str) -> set[str]:
    starts = config.command[:1] or config.entrypoint[:1]
    name = image.rpartition("/")[2].partition("@")[0].partition(":")[0]
    return {*config.volumes, f"name:{name}", *(set(starts) - _SHELLS)}


def adapts(client: Client, invocation: Invocation, image: str) -> bool:
    """True if what the container starts gives files another owner or mode."""
    try:
        config, layers = _config(client, image), client.layers_of(image)
    except EngineError:
        return False
    for word in (*config.entrypoint, *config.command, *invocation.rest[1:]):
        script = file_in_image(layers, word if "/" in word else f"/usr/local/bin/{word}")
        text = word.encode(errors="replace")
        if script and script[1].is_file():
            with script[1].open("rb") as file:
                text = file.read(_MOST_SCRIPT)
        if _ADAPTS.search(text):
            return True
    return False


def with_old_data(job: Job, old: str | None, folder: Path, stop: Stop) -> Job:
    """The job whose trials also begin with what an image has left on new volumes: the job's own
    image if ``old`` is None. Raises BrokenTrial if the volumes cannot be filled."""
    made, work = job.container, job.workload
    assert made is not None
    steps = ONE_START if work.kind == "daemon" else None
    check = work.check if old is None else without_programs(work.check)
    filling = replace(
        job,
        workload=replace(work, steps=steps, check=check),
        choices=("fresh",),
        container=replace(made, image=old, keep=str(folder)),
        stop=None,
    )
    outcome, _ = run_once(filling, everything(filling), stop)
    if not outcome.passed:
        raise BrokenTrial(f"{old or 'the image'} could not fill the volumes: {outcome.why}")
    there = filled(folder)
    if old is not None and not there:
        raise BrokenTrial(f"{old} keeps no data: it has no volume")
    container = replace(made, filled=there, keep=None, image=None)
    return replace(job, container=container, choices=(*job.choices, UPGRADE))


_OTHERS = "with data of another owner, as an older image may leave it,"


def of_another_owner(
    report: Report, job: Job, folder: Path, stop: Stop
) -> tuple[list[Trial], Sequence[Recording]]:
    """The failing trials of the proven set on data that an older image could have left, which
    belongs to another user, and recordings of what that needs. Raises BrokenTrial if they show
    nothing."""
    observed = replace(with_old_data(job, None, folder, stop), choices=(UPGRADE,), observed=True)
    adapted, made = replace(observed, observed=False), observed.container
    proposed = report.proposal.recommended
    if not (made and made.filled) or run_once(adapted, proposed, stop)[0].passed:
        return [], ()
    whole, evidence = run_once(observed, everything(job), stop)
    if not whole.passed:
        raise BrokenTrial(f"{_OTHERS} it fails even with every capability: {whole.why}")
    base = proposed | decide_all(evidence.recordings, default()).recommended
    if not (again := run_once(adapted, base, stop)[0]).passed:
        raise BrokenTrial(f"{_OTHERS} it fails: {again.why}")
    removals = ((cap, run_once(adapted, base - {cap}, stop)[0]) for cap in sorted(base - proposed))
    trials = [
        Trial(base - {cap}, False, one.seconds, cap, differences=(one.why,), failed_at=UPGRADE)
        for cap, one in removals
        if not one.passed
    ]
    begun = max(recording.start for recording in report.recordings)
    return trials, [replace(one, start=begun + one.start) for one in evidence.recordings]
