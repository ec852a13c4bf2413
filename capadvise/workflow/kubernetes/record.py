"""Record a workload of a cluster where it runs, or ask the server whether it takes other sets.

On each node that has pods of it, an observer, which is a pod of ours, watches them. The workload is
not changed, unless the user wants a restart. We remove our objects however the recording ends; if
capadvise is gone, they end by themselves.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from threading import Event
from typing import Any

from capadvise.catalog import Catalog
from capadvise.config.kubernetes.admission import PodOwner
from capadvise.config.kubernetes.manifests import POD_SPEC, is_object_name
from capadvise.judgement.report import Report
from capadvise.model.errors import BadInput
from capadvise.model.wording import counted
from capadvise.report import fleet
from capadvise.report.load import loaded
from capadvise.targets.kubernetes import copies, objects
from capadvise.targets.kubernetes.kubectl import ClusterError, Kubectl, removed_if_killed
from capadvise.targets.kubernetes.objects import Object
from capadvise.targets.kubernetes.sets import additions, differences, with_contexts
from capadvise.workflow.kubernetes.observers import (
    Observers,
    create,
    delete,
    ending_on_signals,
    sweep,
)
from capadvise.workflow.notice import notice, progress

_LONGEST = 24 * 3600
"""Seconds after which an observer ends if the user gave no time and capadvise is gone."""
_SPARE = 1800
"""More seconds, to begin, to wait for a late node, and to read the reports."""
_ROLLOUT_SECONDS = 900.0
"""For a restart to end, after which ``--for`` is counted."""
_POLL_SECONDS = 2.0
"""Between two looks at the workload's pods."""


@dataclass(frozen=True, slots=True)
class ClusterWishes:
    """The user's wishes for the recording."""

    image: str
    """The observer's image."""
    seconds: float | None = None
    """None: until the user ends it."""
    restart: bool = False
    canary: bool = False
    node: str = ""
    """The canary's node; empty: one that has pods of the workload."""
    replace_volumes: bool = False
    agree: Callable[[Iterable[str]], bool] = lambda plan: True
    """True to go on with this plan."""


def new_run() -> str:
    """An id for the objects of one call."""
    return os.urandom(4).hex()


def record(
    kubectl: Kubectl, owner: PodOwner, wishes: ClusterWishes, catalog: Catalog
) -> list[Report]:
    """Return a report for each container and image; none if the user does not agree to the plan.
    Raises CapadviseError if nothing was recorded."""
    if wishes.restart and owner.kind not in objects.RESTARTABLE:
        raise BadInput(
            f"--restart: a {owner.kind} cannot be restarted",
            hint=f"what can be: {', '.join(objects.RESTARTABLE)}; --canary starts a copy",
        )
    workload = get_workload(kubectl, owner)
    claims = {}
    if wishes.canary:
        claims = empty_claims(kubectl, owner, workload, replace_volumes=wishes.replace_volumes)
    run, places = new_run(), [objects.OBSERVERS, *[owner.namespace] * wishes.canary]
    with ending_on_signals() as stop, removed_if_killed(kubectl, places, run) as safe:
        recording = _Recording(safe, owner, workload, wishes, stop, run)
        nodes = recording.look()
        if not wishes.agree(recording.plan(nodes)):
            return []
        try:
            recording.begin(nodes)
            recording.start_again(claims)
            recording.wait()
            return recording.reports(catalog)
        finally:
            recording.remove()


def get_workload(kubectl: Kubectl, owner: PodOwner) -> Object:
    """Get the object. Raises ClusterError, and BadInput for a pod that a controller has made."""
    workload = kubectl.get(objects.path_of(owner)) | {"kind": owner.kind}
    if owner.kind == "Pod" and (owners := workload["metadata"].get("ownerReferences")):
        maker = f"{owners[0]['kind'].lower()}/{owners[0]['name']}"
        raise BadInput(f"{owner} is made by {maker}", hint=f"name {maker}, or what makes that")
    return workload


def empty_claims(
    kubectl: Kubectl, owner: PodOwner, workload: Object, *, replace_volumes: bool
) -> dict[str, str]:
    """The volumes that are empty in a canary. Raises BadInput if only one pod can use a volume, and
    the user has not said that it may be empty."""
    claims = objects.claims_of(workload)
    if replace_volumes or not claims:
        return claims
    for volume, claim in claims.items():
        path = f"/api/v1/namespaces/{owner.namespace}/persistentvolumeclaims/{claim}"
        modes = ["ReadWriteOnce"]  # a claim of a StatefulSet's pod is that pod's
        if claim:
            modes = (kubectl.get(path).get("spec") or {}).get("accessModes") or modes
        if any(mode not in ("ReadWriteMany", "ReadOnlyMany") for mode in modes):
            raise BadInput(
                f"{owner}: volume {volume} ({', '.join(modes)}) is in use by a pod that runs: "
                "a canary cannot share it",
                hint="--replace-volumes gives the canary an empty volume instead",
            )
        notice(f"note: the canary uses the data of volume {volume}, as the other pods do")
    return {}


@dataclass
class _Recording:
    """One recording, from our first object to the removal of the last."""

    kubectl: Kubectl
    owner: PodOwner
    workload: Object
    wishes: ClusterWishes
    stop: Event
    run: str
    pods: dict[str, Object] = field(default_factory=dict)
    """The workload's pods since the beginning, by name, as last seen."""
    present: set[str] = field(default_factory=set)
    """The names of those that existed at the last look."""
    past: dict[str, Object] = field(default_factory=dict)
    """The pods that had ended before."""
    canaries: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        image, self.seconds = self.wishes.image, int(self.wishes.seconds or _LONGEST) + _SPARE
        self.observers = Observers(
            self.kubectl, self.owner, self.run, image, self.seconds, self.stop
        )

    def look(self) -> set[str]:
        """Find the pods and the nodes of the workload. Raises BadInput if there are none."""
        self._look()
        self.past = {name: pod for name, pod in self.pods.items() if objects.has_ended(pod)}
        self.pods = {name: pod for name, pod in self.pods.items() if name not in self.past}
        # The next job may run on a node of earlier ones.
        nodes = self._nodes() or {objects.node_of(pod) for pod in self.past.values()} - {""}
        if self.wishes.node:
            nodes.add(self.wishes.node)
        if not nodes and self.owner.kind != "CronJob":
            raise BadInput(
                f"{self.owner}: no pod of it runs in {self.owner.namespace}",
                hint="--canary --node NODE starts a copy",
            )
        return nodes

    def plan(self, nodes: set[str]) -> Iterator[str]:
        """The objects that will be made, and what stands still."""
        where = ", ".join(sorted(nodes)) or "the node of the next pod"
        yield f"namespace {objects.OBSERVERS}, of the Pod Security level privileged, if missing"
        yield f"an observer on {where}: image {self.wishes.image}, hostPID, SYS_PTRACE and SYSLOG"
        if self.wishes.restart:
            still = "; nothing of it runs in between" if len(self._mine()) == 1 else ""
            yield f"kubectl rollout restart of {self.owner}: all of its pods are replaced{still}"
        if self.wishes.canary:
            yield f"a copy of a pod in {self.owner.namespace}, which does real work"

    def begin(self, nodes: set[str]) -> None:
        """Start observers on the nodes of the workload."""
        sweep(self.kubectl, self.owner.namespace)
        self.observers.make_namespace()
        self.observers.observe(nodes)
        where = f"{counted(len(self._mine()), 'pod')} on {counted(len(nodes), 'node')}"
        notice(f"recording {self.owner} in {self.owner.namespace}: {where}")

    def start_again(self, claims: dict[str, str]) -> None:
        """Restart the workload or start a canary, as the user wishes."""
        if self.stop.is_set():
            return
        if self.wishes.restart:
            words = ("rollout", "restart", f"--namespace={self.owner.namespace}")
            self.kubectl.call(*words, f"{self.owner.kind.lower()}/{self.owner.name}")
            notice(f"{self.owner}: restarted")
        if self.wishes.canary:
            watching = self.observers.watching
            node = self.wishes.node or min(watching, default="")
            if node not in watching:
                raise ClusterError(f"no copy is started: {node or 'no node'} is not watched")
            pod = copies.canary(
                objects.template_of(self.workload),
                self.owner,
                self.run,
                1,
                seconds=self.seconds,
                node=node,
                claims=claims,
            )
            create(self.kubectl, pod, self.canaries)
            notice(f"{self.canaries[-1]}: a copy runs on {node}; it does real work")

    def wait(self) -> None:
        """Wait until the time is up or the user ends it, and observe pods on further nodes, too."""
        began = time.monotonic()
        rolling = self.wishes.restart
        if self.wishes.seconds is None:
            notice("Ctrl-C ends the recording, else it ends after a day")
        if not self.observers.pods:
            notice(
                f"note: {self.owner} has no pod: its first one is recorded in part, unless --node "
                "names the node"
            )
        while not self.stop.is_set():
            now = time.monotonic()
            if rolling and (self._is_rolled_out() or now > began + _ROLLOUT_SECONDS):
                rolling, began = False, now
            left = began + (self.wishes.seconds or _LONGEST) - now
            if left <= 0 and not rolling:
                break
            if self.stop.wait(_POLL_SECONDS if rolling else min(left, _POLL_SECONDS)):
                break
            with suppress(ClusterError):  # a server that is away for a moment
                self._look()
            self.observers.observe(self._nodes() - self.observers.pods.keys())
            progress(f"{self.owner}: {time.monotonic() - began:.0f} s")
        with suppress(ClusterError):
            self._look()

    def _is_rolled_out(self) -> bool:
        with suppress(ClusterError):
            return objects.is_rolled_out(self.kubectl.get(objects.path_of(self.owner)))
        return False

    def reports(self, catalog: Catalog) -> list[Report]:
        """Merge the observers' reports by container and image."""
        read = _read(self.observers.collect(), catalog)
        digests = {name: objects.image_digests(pod) for name, pod in self.pods.items()}
        together = fleet.merged(read, str(self.owner), digests, self.present, catalog)
        if not together:
            raise ClusterError(
                f"{self.owner}: no container of it was recorded",
                hint="the notes above say what the observers met; --restart sees a start",
            )
        for one in together:
            for note in one.notes:
                notice(f"note: {one.report.target.name}: {note}")
        return [one.report for one in together]

    def remove(self) -> None:
        """Remove all objects that we have made."""
        here = self.owner.namespace
        delete(self.kubectl, [objects.pods_path(here, name) for name in self.canaries])
        self.observers.remove()

    # ------------------------------------------------------------------ what is there

    def _look(self) -> None:
        query, there, jobs = {}, dict[str, Object](), set[str]()
        if selector := objects.selector_of(self.workload):
            query["labelSelector"] = selector
        if self.owner.kind == "CronJob":
            path = objects.path_of(replace(self.owner, kind="Job")).rpartition("/")[0]
            with suppress(ClusterError):  # without the right to list jobs, only scheduled ones
                jobs = objects.jobs_of(self.kubectl.items(path), self.owner)
        for pod in self.kubectl.items(objects.pods_path(self.owner.namespace), **query):
            if self.owner.makes(pod, jobs) and objects.name_of(pod) not in self.past:
                there[objects.name_of(pod)] = pod
        for name in self.canaries:
            path = objects.pods_path(self.owner.namespace, name)
            with suppress(ClusterError):  # somebody may have deleted it
                there[name] = self.kubectl.get(path)
        self.pods |= there
        going = {name for name, pod in there.items() if pod["metadata"].get("deletionTimestamp")}
        self.present = there.keys() - going

    def _mine(self) -> list[Object]:
        return [pod for pod in self.pods.values() if objects.node_of(pod)]

    def _nodes(self) -> set[str]:
        return {objects.node_of(pod) for pod in self._mine()}


def _read(sent: list[Any], catalog: Catalog) -> list[Report]:
    """Load the usable reports. A node can send anything, and a name becomes a file's name."""
    read = []
    for one in sent:
        try:
            report = loaded(one, "a report of an observer", catalog)
        except BadInput as error:
            notice(f"note: {error}: left out; is the image of another version?")
            continue
        if is_object_name(report.target.name):
            read.append(report)
    return read


# ---------------------------------------------------------------- asking, nothing is changed


_DRY = {"dryRun": "All"}
_UNCHANGEABLE = ("Job", "Pod")
"""The sets of these cannot be changed once they exist."""


@dataclass(frozen=True, slots=True)
class DryRun:
    """The server's answers."""

    accepted: tuple[str, ...]
    """The objects that it takes unchanged."""
    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()


def dry_run(
    kubectl: Kubectl, owner: PodOwner, workload: Object, patches: Iterable[Object]
) -> DryRun:
    """Try the workload with these patches of its containers, and a pod of it, since Pod Security
    only judges pods."""
    accepted, problems, notes = list[str](), list[str](), list[str]()
    for what, path, item, verb in _requests(owner, workload, patches):
        try:
            answer = (kubectl.create if verb == "create" else kubectl.replace)(path, item, **_DRY)
        except ClusterError as error:
            problems.append(f"{what}: {error}")
            continue
        asked, made = _pod_spec(item), _pod_spec(answer | {"kind": item["kind"]})
        changed, added = list(differences(asked, made)), list(additions(asked, made))
        problems += [f"{what}: {one}" for one in changed]
        notes += [f"{what}: note: {one}" for one in added]
        accepted += [] if changed or added else [what]
    return DryRun(tuple(accepted), tuple(problems), tuple(notes))


def _requests(
    owner: PodOwner, workload: Object, patches: Iterable[Object]
) -> list[tuple[str, str, Object, str]]:
    """(name for people, path, object, verb) of each request. A pod that runs cannot change."""
    spec = objects.template_of(workload)["spec"]
    for patch in patches:
        contexts = {one["name"]: one["securityContext"] for one in patch["containers"]}
        spec = with_contexts(spec, contexts)
        pod = (spec.get("securityContext") or {}) | patch.get("securityContext", {})
        spec |= {"securityContext": pod} if pod else {}
    pod = copies.replica(workload, owner, spec)
    asked = [(f"a pod of {owner}", objects.pods_path(owner.namespace), pod, "create")]
    if owner.kind not in _UNCHANGEABLE:
        changed = _with_pod_spec(workload, spec)
        # Without a version, a write of its controller in between is no conflict.
        metadata = changed["metadata"].items()
        changed["metadata"] = {key: said for key, said in metadata if key != "resourceVersion"}
        asked.insert(0, (str(owner), objects.path_of(owner), changed, "replace"))
    return asked


def _pod_spec(item: Object) -> Object:
    for key in _path_of_spec(item):
        item = item[key]
    return item


def _with_pod_spec(item: Object, spec: Object) -> Object:
    def within(part: Object, keys: tuple[str, ...]) -> Object:
        return part | {keys[0]: within(part[keys[0]], keys[1:])} if keys else spec

    return within(item, _path_of_spec(item))


def _path_of_spec(item: Object) -> tuple[str, ...]:
    return POD_SPEC.get(str(item["kind"]), POD_SPEC["Deployment"])
