"""Ask the server whether it takes a workload with other sets. Nothing is changed."""

from collections.abc import Mapping
from dataclasses import dataclass

from capadvise.config.kubernetes.admission import PodOwner
from capadvise.config.kubernetes.manifests import POD_SPEC
from capadvise.model.caps import CapSet
from capadvise.targets.kubernetes import copies, objects
from capadvise.targets.kubernetes.kubectl import ClusterError, Kubectl
from capadvise.targets.kubernetes.objects import Object
from capadvise.targets.kubernetes.sets import additions, differences, with_sets

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
    kubectl: Kubectl, owner: PodOwner, workload: Object, sets: Mapping[str, CapSet]
) -> DryRun:
    """Try the workload with these sets, and a pod of it, since Pod Security only judges pods."""
    accepted, problems, notes = list[str](), list[str](), list[str]()
    for what, path, item, verb in _requests(owner, workload, sets):
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
    owner: PodOwner, workload: Object, sets: Mapping[str, CapSet]
) -> list[tuple[str, str, Object, str]]:
    """(name for people, path, object, verb) of each request. A pod that runs cannot change."""
    spec = with_sets(objects.template_of(workload)["spec"], sets)
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
    for key in POD_SPEC[str(item["kind"])]:
        item = item[key]
    return item


def _with_pod_spec(item: Object, spec: Object) -> Object:
    def within(part: Object, keys: tuple[str, ...]) -> Object:
        return part | {keys[0]: within(part[keys[0]], keys[1:])} if keys else spec

    return within(item, POD_SPEC[str(item["kind"])])
