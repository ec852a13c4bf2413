"""Prove the set of a workload's container on its own cluster, with copies of its pod, the canaries.

Each canary has one set, and labels of its own, so that no Service sends it clients; it is not
started again by itself. Its probes decide, or a check. Then it is started a second time in its
place, on the data that the first start has left: whatever the restart policy, a kubelet does so
when the name of the container's image changes (``kuberuntime_manager.go``, "Restart regardless of
the restart policy because the container spec changed").
"""

import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from threading import Event
from typing import Any

from capadvise.catalog import default
from capadvise.config.kubernetes.admission import PodOwner
from capadvise.judgement.differences import Observed
from capadvise.judgement.flags import written_by
from capadvise.judgement.proven import (
    ENDED_EARLY,
    Interrupted,
    NotProvable,
    Proven,
    Trial,
    TrialOutcome,
    conclude,
)
from capadvise.judgement.report import Report
from capadvise.model.caps import SYS_ADMIN, Cap, CapSet
from capadvise.model.companion import NO_NEW_PRIVS, Companion
from capadvise.model.errors import BadInput, CannotObserve
from capadvise.proof.plan import Beside, SearchTask, fewest, prove
from capadvise.report.words import trial_text
from capadvise.targets.kubernetes import copies, objects
from capadvise.targets.kubernetes.kubectl import ClusterError, Kubectl, removed_if_killed
from capadvise.targets.kubernetes.objects import Object
from capadvise.targets.kubernetes.sets import containers, granted, with_sets
from capadvise.workflow.kubernetes.observers import create, delete, ending_on_signals, sweep
from capadvise.workflow.kubernetes.record import empty_claims, get_workload, new_run
from capadvise.workflow.notice import notice, progress
from capadvise.workflow.proof import today

_POLL_SECONDS = 0.3
"""Between two looks at a pod."""
_START_SECONDS = 300.0
"""For the scheduler, for images and for other containers, on which no set is tried."""
_RESTART_SECONDS = 60.0
"""For a kubelet to start a container a second time."""
_GRACE_SECONDS = 10
"""For a canary's program to end; we do not wait for more."""
_LINES = 400
"""The last lines of a log that are read."""
_NO_SANDBOX = (None, "ContainerCreating", "PodInitializing")
"""The kubelet's words for a container whose pod is not made yet."""
_NUMBER = re.compile(r"\d+")
_ID = re.compile(r"sha256:[0-9a-f]{64}")
_PULLED = re.compile(r"(?P<repository>[^@]+)@(?P<digest>sha256:[0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Criterion:
    """The criterion for a start that works."""

    check: str | None
    """A shell command on this machine; None: the probes, or the exit status if it ends."""
    oneshot: bool
    timeout: float


def criterion_of(
    template: Object, owner: PodOwner, container: str, check: str | None, timeout: float
) -> Criterion:
    """The criterion for a container. Raises BadInput if there is none."""
    by_name = {one["name"]: one for one in containers(template["spec"])}
    if container not in by_name:
        raise BadInput(
            f"{owner} has no container {container}", hint=f"there are: {', '.join(sorted(by_name))}"
        )
    initial = [one["name"] for one in template["spec"].get("initContainers") or ()]
    ends = container in initial and by_name[container].get("restartPolicy") != "Always"
    oneshot = ends or owner.kind in ("Job", "CronJob")
    probed = any(by_name[container].get(key) for key in ("readinessProbe", "startupProbe"))
    if not (check or oneshot or probed):
        raise BadInput(
            f"{owner}: {container} has no readinessProbe: nothing says whether it works",
            hint="--check 'kubectl exec -n $NAMESPACE $POD -c $CONTAINER -- …'",
        )
    return Criterion(check, oneshot, timeout)


@dataclass
class Canaries:
    """The trials of one container of a workload."""

    kubectl: Kubectl
    owner: PodOwner
    template: Object
    container: str
    criterion: Criterion
    today: CapSet
    """The set that the container has."""
    claims: Mapping[str, str]
    run_id: str
    stop: Event
    made: list[str] = field(default_factory=list)
    cautions: set[str] = field(default_factory=set)
    once: bool = False
    """True if the kubelet does not start a canary a second time."""
    pod: Object = field(default_factory=dict)
    """The last copy, as last seen."""

    @property
    def own_users(self) -> bool:
        """True if the copies have a user namespace of their own."""
        return self.template["spec"].get("hostUsers") is False

    def run(self, caps: CapSet, beside: tuple[Companion, ...] = ()) -> TrialOutcome:
        """Make one trial. Raises Interrupted; ClusterError if the server refuses the pod, or it
        does not run for another reason than its set; CannotObserve if it gets no user namespace.
        """
        began = time.monotonic()
        path = self._create(caps, beside)
        try:
            hindered = self._until_started(path, 0, _START_SECONDS)
            if hindered is not None:
                raise ClusterError(f"{self.made[-1]} was not started: {hindered}")
            failed_at, why = "start", self._worked(path)
            if why is None and not self.criterion.oneshot and not self.once:
                failed_at, why = "restart", self._again(path)
            return TrialOutcome(
                passed=why is None,
                why=why or "",
                seconds=round(time.monotonic() - began, 2),
                observed=Observed(self._exit_status(), self._log(path)),
                failed_at=None if why is None else failed_at,
                output="" if why is None else "\n".join(self._log(path, blank=False)),
            )
        finally:
            self.kubectl.delete(path)

    def _create(self, caps: CapSet, beside: tuple[Companion, ...]) -> str:
        if self.stop.is_set():
            raise Interrupted
        spec = with_sets(
            *(self.template["spec"], {self.container: caps}, [one.kind for one in beside]),
            today=self.today,
        )
        patience = spec.get("terminationGracePeriodSeconds", 30)
        spec["terminationGracePeriodSeconds"] = min(patience, _GRACE_SECONDS)
        pod = copies.canary(
            dict(self.template, spec=spec),
            self.owner,
            self.run_id,
            len(self.made) + 1,
            seconds=int(4 * self.criterion.timeout) + 600,
            claims=self.claims,
        )
        made = create(self.kubectl, pod, self.made)
        if self.own_users and made["spec"].get("hostUsers") is not False:
            raise CannotObserve(
                "the server has dropped hostUsers: false from a copy of the pod",
                hint="Kubernetes 1.33 or later, or its feature gate UserNamespacesSupport",
            )
        return objects.pods_path(self.owner.namespace, self.made[-1])

    def _until_started(self, path: str, restarts: int, patience: float) -> str | None:
        """Wait for a start; return the reason if there was none."""
        end, shown = time.monotonic() + patience, ""
        while not self.stop.is_set():
            late = time.monotonic() >= end
            pod = self.pod = self.kubectl.get(path)
            status = status_of(pod, self.container)
            waiting = _waits_for(status)
            if status.get("restartCount", 0) >= restarts and _has_started(status):
                return None
            why, hopeless = self._delay(pod, waiting)
            if late or hopeless:
                return why
            if why != shown:
                progress(f"  {objects.name_of(pod)}: {(shown := why)}")
            self.stop.wait(_POLL_SECONDS)
        raise Interrupted

    def _delay(self, pod: Object, waiting: str | None) -> tuple[str, bool]:
        """The reason why a copy does not run yet, and True if it never will: the kubelet has tried
        three times to make it, or says so."""
        path, events = f"/api/v1/namespaces/{self.owner.namespace}/events", list[Object]()
        selector = f"involvedObject.name={self.made[-1]},reason=FailedCreatePodSandBox"
        if waiting in _NO_SANDBOX:
            with suppress(ClusterError):  # without the right to list events
                events = self.kubectl.items(path, fieldSelector=selector)
        disturbed = objects.disturbance(pod)
        warned = str(events[-1].get("message")) if events else ""
        hopeless = objects.cannot_start(pod) or sum(one.get("count") or 1 for one in events) > 2
        why = disturbed or objects.trouble(pod) or warned or objects.delay(pod)
        return why, hopeless or disturbed is not None

    def _worked(self, path: str) -> str | None:
        """Wait until a start has worked; return the reason if it has not. Raises ClusterError if
        something else has ended it."""
        end = time.monotonic() + self.criterion.timeout
        last, late = "it was not ready", False
        while not self.stop.is_set():
            if (ended := objects.disturbance(self.pod)) is not None:
                raise ClusterError(f"{objects.name_of(self.pod)}: {ended}")
            done, said = self._look(self.pod)
            if done:
                return said
            last = said or last
            if late:
                return f"{last} in {self.criterion.timeout:.0f} s"
            self.stop.wait(_POLL_SECONDS)
            late = time.monotonic() >= end  # before the look: a slow answer counts, too
            self.pod = self.kubectl.get(path)
        raise Interrupted

    def _look(self, pod: Object) -> tuple[bool, str | None]:
        """(True once it is decided, the reason why it has failed or does not work yet)."""
        status = status_of(pod, self.container)
        ended = (status.get("state") or {}).get("terminated")
        if ended is not None:
            code = ended.get("exitCode")
            if not self.criterion.oneshot or code != 0:
                return True, _ending(ended)
            return True, self._check(pod)
        why = objects.trouble(pod)
        if why is not None:
            return True, why
        if self.criterion.oneshot:
            return False, "it did not end"
        if self.criterion.check is not None:
            running = (status.get("state") or {}).get("running") is not None
            why = self._check(pod) if running else "it did not run"
            return why is None, why
        return bool(status.get("ready")), None

    def _check(self, pod: Object) -> str | None:
        """The reason why the check fails; None if it passes, or there is none."""
        if self.criterion.check is None:
            return None
        environment = {
            "NAMESPACE": self.owner.namespace,
            "POD": objects.name_of(pod),
            "CONTAINER": self.container,
            "POD_IP": str((pod.get("status") or {}).get("podIP") or ""),
        }
        try:
            done = subprocess.run(
                ["/bin/sh", "-c", self.criterion.check],
                env=os.environ | environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=self.criterion.timeout,
                process_group=0,
            )
        except subprocess.TimeoutExpired:
            return "the check did not end"
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        return None if done.returncode == 0 else f"the check failed{f': {said[0]}' if said else ''}"

    def _again(self, path: str) -> str | None:
        """Start it a second time, in its place; return the reason if that fails. If the kubelet
        does not restart the first canary, no second start is tried for the others."""
        pod = self.pod
        status = status_of(pod, self.container)
        spec = next(one for one in containers(pod["spec"]) if one["name"] == self.container)
        again = int(status.get("restartCount") or 0) + 1
        pulls = spec.get("imagePullPolicy") == "Always"
        image = other_name(str(spec["image"]), str(status.get("imageID") or ""), pulls=pulls)
        if image is None:
            self._only_once("the image has no digest")
            return None
        is_sidecar = spec in (pod["spec"].get("initContainers") or ())
        kind = "initContainers" if is_sidecar else "containers"
        patch = {"spec": {kind: [{"name": self.container, "image": image}]}}
        words = ("patch", "pod", objects.name_of(pod), f"--namespace={self.owner.namespace}")
        try:
            self.kubectl.call(*words, "--type=strategic", "-p", json.dumps(patch))
        except ClusterError as error:
            self._only_once(str(error))
            return None
        why = self._until_started(path, again, _RESTART_SECONDS)
        if why is None:
            return self._worked(path)
        if len(self.made) == 1:
            self._only_once(f"the kubelet did not start it again: {why}")
            return None
        if objects.disturbance(self.pod) or objects.trouble(self.pod) is None:
            raise ClusterError(f"{objects.name_of(pod)} was not started again: {why}")
        return why  # it had ended by itself

    def _only_once(self, why: str) -> None:
        self.once = True
        self.cautions.add(f"a second start was not tried: {why}")

    def _exit_status(self) -> int | None:
        if not self.criterion.oneshot:
            return None
        state = status_of(self.pod, self.container).get("state") or {}
        return (state.get("terminated") or {}).get("exitCode")

    def _log(self, path: str, *, blank: bool = True) -> tuple[str, ...]:
        """Its output; empty if we may not read that."""
        name = path.rsplit("/", 1)[1]
        words = ("logs", name, f"--namespace={self.owner.namespace}", f"--tail={_LINES}")
        with suppress(ClusterError):
            lines = self.kubectl.call(*words, f"--container={self.container}").splitlines()
            return tuple(_NUMBER.sub("N", line) for line in lines) if blank else tuple(lines[-20:])
        return ()


def status_of(pod: Object, container: str) -> dict[str, Any]:
    """The kubelet's status of a container."""
    status = pod.get("status") or {}
    kinds = ("containerStatuses", "initContainerStatuses")
    every = [one for kind in kinds for one in status.get(kind) or ()]
    return next((one for one in every if one["name"] == container), {})


def _waits_for(status: Mapping[str, Any]) -> str | None:
    """The kubelet's reason why a container does not run yet."""
    return ((status.get("state") or {}).get("waiting") or {}).get("reason")


def _has_started(status: Mapping[str, Any]) -> bool:
    ran = (status.get("state") or {}).keys() & {"running", "terminated"}
    return bool(ran) or _waits_for(status) == "RunContainerError"


def other_name(image: str, pulled: str, *, pulls: bool) -> str | None:
    """Another name of the very same image, or None. ``pulled``: the image id that the kubelet
    reports; ``pulls``: True if it asks the registry at each start."""
    match = _PULLED.search(pulled.removeprefix("docker-pullable://"))
    if match is None:  # only the id is known of an image that came from no registry
        return pulled if _ID.fullmatch(pulled) and image != pulled and not pulls else None
    repository, digest = match["repository"], match["digest"]
    plain = f"{repository}@{digest}"
    # A runtime ignores the tag in front of a digest.
    return plain if image != plain else f"{repository}:again@{digest}"


def _ending(ended: Mapping[str, Any]) -> str:
    code, reason = ended.get("exitCode"), ended.get("reason") or ""
    said = (ended.get("message") or "").strip().splitlines()[-1:]
    more = f": {said[0]}" if said else f" ({reason})" if reason not in ("", "Error") else ""
    return f"exited with {code}{more}"


@dataclass(frozen=True, slots=True)
class ProofWishes:
    """How trials are made."""

    check: str | None = None
    timeout: float = 60.0
    replace_volumes: bool = False
    own_users: bool = False
    """With ``hostUsers: false``, in a user namespace."""
    agree: Callable[[Iterable[str]], bool] = lambda plan: True
    """True to go on with this plan."""


def prove_container(
    kubectl: Kubectl, owner: PodOwner, report: Report, wishes: ProofWishes
) -> Report | None:
    """Return the report with its proof; None if the user does not agree to the plan. Raises
    CapadviseError if no trial could be made."""
    name = report.target.name
    if report.target.pod is None or report.target.owner not in (None, str(owner)):
        whose = report.target.owner or "no pod"
        raise BadInput(f"the report describes {whose}, not {owner}")
    workload = get_workload(kubectl, owner)
    template = objects.template_of(workload)
    if wishes.own_users:
        template = dict(template, spec=template["spec"] | {"hostUsers": False})
    criterion = criterion_of(template, owner, name, wishes.check, wishes.timeout)
    claims = empty_claims(kubectl, owner, workload, replace_volumes=wishes.replace_volumes)
    everything = _held(template, name, report)
    plan = (
        f"{owner}/{name}: each trial runs a copy of the pod in {owner.namespace}, which does all "
        "that the program does",
        f"at least {fewest(report.proposal.recommended & everything)} copies, one after the other; "
        f"{owner} itself is not changed",
    )
    if not wishes.agree(plan):
        return None
    sweep(kubectl, owner.namespace)
    run = new_run()
    with ending_on_signals() as stop, removed_if_killed(kubectl, [owner.namespace], run) as safe:
        trials = Canaries(*(safe, owner, template, name, criterion, everything), claims, run, stop)
        try:
            return _proven(report, trials)
        finally:
            delete(kubectl, [objects.pods_path(owner.namespace, each) for each in trials.made])


def _held(template: objects.Object, name: str, report: Report) -> CapSet:
    """The set that it has today: no trial has more."""
    mine = next(one for one in containers(template["spec"]) if one["name"] == name)
    last = max(recording.host.last_cap for recording in report.recordings)
    every = frozenset(Cap(number) for number in range(last + 1))
    runtime = default().baselines.default(report.target.engine or "containerd")
    return granted(mine, runtime.grants, every)


def _proven(report: Report, trials: Canaries) -> Report:
    proposal, everything = report.proposal, trials.today
    try:
        first = trials.run(everything)
    except Interrupted:
        notice("interrupted before the first trial ended")
        raise KeyboardInterrupt from None
    early: list[str] = []

    def run(caps: CapSet, beside: tuple[Companion, ...] = ()) -> TrialOutcome:
        try:
            return trials.run(caps, beside)
        except ClusterError as error:  # the trials so far are kept
            early.append(f"{ENDED_EARLY}: {str(error).rstrip('.')}")
            raise Interrupted from error

    try:
        facts = default()
        task = SearchTask(
            proposal, everything, first, "container", facts.removal_order, facts.risk_rank
        )
        say = _trial_progress(everything, fewest(proposal.recommended & everything))
        flags = written_by(report, "container", facts)
        beside = Beside(written=partial(_allowed, flags))
        proven = replace(prove(task, run, say=say, beside=beside), date=today())
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
        proven = Proven(
            *("container", (trial,), None), user_namespace=trials.own_users, date=today()
        )
        return replace(report, proven=proven)
    cautions = (*proven.cautions, *sorted(trials.cautions), *early)
    proven = replace(proven, cautions=cautions, user_namespace=trials.own_users)
    return replace(report, proposal=conclude(proposal, proven), proven=proven)


def _allowed(flags: tuple[Companion, ...], caps: CapSet) -> tuple[Companion, ...]:
    """The server refuses SYS_ADMIN in a container that may not gain privileges."""
    return tuple(one for one in flags if one is not NO_NEW_PRIVS or SYS_ADMIN not in caps)


def _trial_progress(everything: CapSet, least: int) -> Callable[[Trial], None]:
    count = 0

    def say(trial: Trial) -> None:
        nonlocal count
        count += 1
        progress(f"  trial {count} of {max(count, least)}: {trial_text(trial, everything)}")

    return say
