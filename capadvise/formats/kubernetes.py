"""Kubernetes: the ``securityContext`` of a container."""

from __future__ import annotations

from collections.abc import Iterator

from capadvise.errors import BadInput
from capadvise.formats.declared import Declared
from capadvise.formats.nodes import Documents, Mapping, Node, flag, line, optional_text, wrong
from capadvise.formats.snippet import Snippet

_TEMPLATE = ("spec", "template", "spec")
POD_SPEC: dict[str, tuple[str, ...]] = {
    "Pod": ("spec",),
    "Deployment": _TEMPLATE,
    "StatefulSet": _TEMPLATE,
    "DaemonSet": _TEMPLATE,
    "ReplicaSet": _TEMPLATE,
    "ReplicationController": _TEMPLATE,
    "Job": _TEMPLATE,
    "CronJob": ("spec", "jobTemplate", "spec", "template", "spec"),
    "PodTemplate": ("template", "spec"),
}
"""Where each kind keeps the specification of its pod."""
CONTAINERS = ("containers", "initContainers", "ephemeralContainers")


def render(snippet: Snippet) -> str:
    """A ``securityContext``. Upper case without prefix: Pod Security Admission compares exactly."""
    lines = [f"# containers: - name: {snippet.name}\n", snippet.comments()]
    lines.append("securityContext:\n  capabilities:\n    drop:\n      - ALL\n")
    if snippet.caps:
        lines.append("    add:\n")
        lines += [f"      - {cap.short} # {reason}\n" for cap, reason in snippet.caps]
    return "".join(lines)


def read(source: str) -> tuple[Declared, ...]:
    """The containers of all pods in a file, as KIND/NAME/CONTAINER; other objects are passed by."""
    documents = Documents(source)
    all_objects = [found for root in documents.roots for found in objects(documents, root)]
    if not all_objects:
        raise BadInput("line 1: not a Kubernetes manifest: it has no object")
    return tuple(declared for found in all_objects for declared in _containers(documents, found))


def objects(documents: Documents, root: Node) -> Iterator[tuple[str, Mapping]]:
    """(kind, object) of a document; all of a list's, whose kind ends in List."""
    found = documents.mapping(root, "an object")
    if not found:  # an empty document
        return
    kind = optional_text(found.get("kind"), "kind")
    if kind is None:
        raise BadInput(f"line {line(root)}: not a Kubernetes object: it has no kind")
    if not (kind.endswith("List") and "items" in found):
        yield kind, found
        return
    for item in documents.items(found["items"], "items"):
        inner = documents.mapping(item, "an item of a list")
        # The items of a PodList need not say that they are pods.
        named = optional_text(inner.get("kind"), "kind") or kind.removesuffix("List")
        if named.endswith("List"):
            raise wrong(item, "an item of a list", "an object, not another list")
        yield named, inner


def _containers(documents: Documents, found: tuple[str, Mapping]) -> Iterator[Declared]:
    kind, keys = found
    if kind not in POD_SPEC:
        return
    metadata = documents.mapping(keys.get("metadata"), "metadata")
    name = next((metadata[key] for key in ("name", "generateName") if key in metadata), None)
    for key in POD_SPEC[kind]:
        keys = documents.mapping(keys.get(key), key)
    pod = documents.mapping(keys.get("securityContext"), "securityContext")
    for group in CONTAINERS:
        for node in documents.items(keys.get(group), group):
            container = documents.mapping(node, f"an item of {group}")
            names = (optional_text(node, "name") for node in (name, container.get("name")))
            service = "/".join((kind, *(said or "?" for said in names)))
            yield _container(documents, service, line(node), container, pod)


def _container(
    documents: Documents, service: str, at: int, container: Mapping, pod: Mapping
) -> Declared:
    """What the container says; what it does not say of the user, the pod does."""
    own = documents.mapping(container.get("securityContext"), "securityContext")
    sets = documents.mapping(own.get("capabilities"), "capabilities")
    drop = documents.texts(sets.get("drop"), "drop")
    add = documents.texts(sets.get("add"), "add")
    users = {key: own.get(key, pod.get(key)) for key in ("runAsUser", "runAsGroup")}
    uid, gid = (optional_text(node, key) for key, node in users.items())
    escalation = flag(own.get("allowPrivilegeEscalation"), "allowPrivilegeEscalation")
    places = (
        ("privileged", own.get("privileged")),
        ("user", users["runAsUser"]),
        ("no_new_privileges", own.get("allowPrivilegeEscalation")),
    )
    return Declared(
        service=service,
        line=at,
        drop=tuple(cap for cap, _ in drop),
        add=tuple(cap for cap, _ in add),
        privileged=flag(own.get("privileged"), "privileged") is True,
        user=uid if uid is None or gid is None else f"{uid}:{gid}",
        no_new_privileges=None if escalation is None else not escalation,
        lines=(*((what, line(node)) for what, node in places if node is not None), *drop, *add),
    )
