"""Prove the set of a workload's container on its own cluster, with copies of its pod."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from capadvise.catalog import default
from capadvise.formats.admission import PodOwner
from capadvise.judgement.proven import ENDED_EARLY, Proven, Trial, conclude
from capadvise.judgement.report import Report
from capadvise.judgement.trial_outcome import Interrupted, NotProvable, TrialOutcome
from capadvise.model.caps import Cap, CapSet
from capadvise.model.errors import BadInput
from capadvise.proof.plan import SearchTask, fewest, prove
from capadvise.report.proof_text import trial_text
from capadvise.targets.kubernetes import objects
from capadvise.targets.kubernetes.kubectl import ClusterError, Kubectl
from capadvise.targets.kubernetes.remover import removed_if_killed
from capadvise.targets.kubernetes.sets import containers, granted
from capadvise.workflow.ending import Ending
from capadvise.workflow.kubernetes.canaries import Canaries, deciding
from capadvise.workflow.kubernetes.observers import delete, sweep
from capadvise.workflow.kubernetes.record import empty_claims, get_workload, new_run
from capadvise.workflow.notice import notice, progress


@dataclass(frozen=True, slots=True)
class ProofWishes:
    """How trials are made."""

    check: str | None = None
    timeout: float = 60.0
    replace_volumes: bool = False
    own_users: bool = False
    """With ``hostUsers: false``, in a user namespace."""


def prove_container(
    kubectl: Kubectl, owner: PodOwner, report: Report, wishes: ProofWishes
) -> Report:
    """The report with its proof. Raises CapadviseError where no trial could be made."""
    name = report.target.name
    if report.target.pod is None or report.target.owner not in (None, str(owner)):
        whose = report.target.owner or "no pod"
        raise BadInput(f"the report is of {whose}, not of {owner}")
    workload = get_workload(kubectl, owner)
    template = objects.template_of(workload)
    if wishes.own_users:
        template = dict(template, spec=template["spec"] | {"hostUsers": False})
    decides = deciding(template, owner, name, wishes.check, wishes.timeout)
    claims = empty_claims(kubectl, owner, workload, replace_volumes=wishes.replace_volumes)
    everything = _held(template, name, report)
    notice(
        f"{owner}/{name}: each trial runs a copy of the pod in {owner.namespace}, which does all "
        "that the program does"
    )
    sweep(kubectl, owner.namespace)
    run = new_run()
    with Ending().heard() as stop, removed_if_killed(kubectl, [owner.namespace], run) as safe:
        trials = Canaries(safe, owner, template, name, decides, claims, run, stop)
        try:
            return _proven(report, trials, everything)
        finally:
            delete(kubectl, [objects.pods_path(owner.namespace, each) for each in trials.made])


def _held(template: objects.Object, name: str, report: Report) -> CapSet:
    """What it has today: no trial has more."""
    mine = next(one for one in containers(template["spec"]) if one["name"] == name)
    last = max(recording.host.last_cap for recording in report.recordings)
    every = frozenset(Cap(number) for number in range(last + 1))
    runtime = default().baselines.default(report.target.engine or "containerd")
    return granted(mine, runtime.grants, every)


def _proven(report: Report, trials: Canaries, everything: CapSet) -> Report:
    proposal = report.proposal
    try:
        first = trials.run(everything)
    except Interrupted:
        notice("interrupted before the first trial ended")
        raise KeyboardInterrupt from None
    early: list[str] = []

    def run(caps: CapSet) -> TrialOutcome:
        try:
            return trials.run(caps)
        except ClusterError as error:  # what is known is kept
            early.append(f"{ENDED_EARLY}: {str(error).rstrip('.')}")
            raise Interrupted from error

    try:
        facts = default()
        task = SearchTask(
            proposal, everything, first, "container", facts.removal_order, facts.risk_rank
        )
        say = _teller(everything, fewest(proposal.recommended & everything))
        proven = prove(task, run, say=say)
    except NotProvable:
        trial = Trial(everything, False, first.seconds, differences=(first.why,))
        notice(f"it fails even with all that it has today: {first.why}")
        for line in first.output.splitlines():
            notice(f"  {line}")
        if report.target.privileged:
            notice(
                "note: it was recorded privileged. That is more than capabilities: devices of the "
                "host, a /sys that it can write, no seccomp profile; no trial has these"
            )
        proven = Proven("container", (trial,), None, user_namespace=trials.own_users)
        return replace(report, proven=proven)
    cautions = (*proven.cautions, *sorted(trials.cautions), *early)
    proven = replace(proven, cautions=cautions, user_namespace=trials.own_users)
    return replace(report, proposal=conclude(proposal, proven), proven=proven)


def _teller(everything: CapSet, least: int) -> Callable[[Trial], None]:
    count = 0

    def say(trial: Trial) -> None:
        nonlocal count
        count += 1
        progress(f"  trial {count} of {max(count, least)}: {trial_text(trial, everything)}")

    return say
