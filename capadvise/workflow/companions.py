"""What may stand beside the sets of one workload, so that it works without a member of them."""

from __future__ import annotations

from dataclasses import replace

from capadvise.model.caps import CapSet
from capadvise.model.companion import KNOWN, Companion, Pairs
from capadvise.proof.trials import groups, runner
from capadvise.proof.trials.stop import Stop


def known_before(job: runner.Job) -> Pairs:
    """Those that need no trial to be found."""
    return KNOWN if job.takes_settings else ()


def by_retries(job: runner.Job, minimal: CapSet, stop: Stop) -> Pairs:
    """The groups of the files that it has no right to: retries tell which these are. Containers and
    units have none: their processes are the engine's, or systemd's. Nor are there retries in a user
    namespace."""
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
    return [(cap, companion) for cap in needing]
