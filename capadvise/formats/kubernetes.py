"""Kubernetes: the ``securityContext`` of a container."""

from __future__ import annotations

import re
from collections.abc import Iterator

from capadvise.caps import SYS_ADMIN
from capadvise.catalog import default
from capadvise.errors import BadInput
from capadvise.formats import engine
from capadvise.formats.declared import Declared
from capadvise.formats.snippet import Snippet
from capadvise.formats.yaml_reader import (
    Dialect,
    Documents,
    Entries,
    flag,
    is_null,
    line,
    optional_text,
    wrong,
)
from capadvise.formats.yaml_tree import Mapping, Node

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
NON_ROOT = "nonroot"
"""The user of a container with ``runAsNonRoot``, whose image names it."""
CONTAINERS = ("containers", "initContainers", "ephemeralContainers")
DIALECT = Dialect(
    merge_wins=True,
    names=frozenset(
        (
            *("kind", "spec", "template", "jobTemplate", "metadata", "items", *CONTAINERS),
            *("securityContext", "capabilities", "add", "drop", "privileged", "procMount"),
            *("allowPrivilegeEscalation", "runAsUser", "runAsGroup", "runAsNonRoot"),
            *("hostNetwork", "hostPID", "hostIPC", "hostUsers", "hostPath", "hostProcess"),
            *("seccompProfile", "appArmorProfile", "windowsOptions", "seLinuxOptions", "sysctls"),
        )
    ),
)


def render(snippet: Snippet) -> str:
    """A strategic-merge patch: for ``kubectl patch --patch-file`` and for kustomize.

    Upper case without prefix: Pod Security Admission compares exactly.
    """
    name = _label(snippet.name)
    lines = [
        f"# Pod Security level: {_level(snippet)}, as far as this patch decides it\n",
        "# for another kind, change apiVersion and kind; a Pod has no template\n",
        snippet.comments(more=tuple(engine.notes(snippet))),
        f"apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {name}\n",
        "spec:\n  template:\n    spec:\n",
    ]
    if values := engine.sysctls(snippet):
        lines.append("      securityContext:\n        sysctls:\n")
        lines += [
            f'          - name: {key}\n            value: "{value}"\n'
            for key, value in values.items()
        ]
    lines.append(f"      containers:\n        - name: {name}\n          securityContext:\n")
    lines += [f"            {line}\n" for line in _security_context(snippet)]
    return "".join(lines)


def _security_context(snippet: Snippet) -> Iterator[str]:
    """The lines of a container's ``securityContext``."""
    if _has_other_uid(snippet):  # of a name, the kubelet cannot tell that it is not root's
        yield "runAsNonRoot: true"
        for key, value in zip(("runAsUser", "runAsGroup"), snippet.ids, strict=True):
            if value is not None and value.isdecimal():
                yield f"{key}: {int(value)}"
    if snippet.unprivileged:
        yield "privileged: false # devices that it may have opened were not recorded"
    if _forbids_escalation(snippet):
        yield "allowPrivilegeEscalation: false"
    if snippet.default_seccomp:
        yield "seccompProfile: # calls that ask for no capability were not recorded"
        yield "  type: RuntimeDefault"
    yield from ("capabilities:", "  drop:", "    - ALL")
    if not snippet.caps:
        yield "  add: []"  # takes away what the manifest adds
    else:
        yield "  add:"
        yield from (f"    - {cap.short} # {reason}" for cap, reason in snippet.caps)


def _has_other_uid(snippet: Snippet) -> bool:
    return not snippet.root and snippet.ids[0].isdecimal()


def _forbids_escalation(snippet: Snippet) -> bool:
    """Kubernetes takes a container with SYS_ADMIN for one that may escalate."""
    return engine.no_new_privileges(snippet) and all(cap != SYS_ADMIN for cap, _ in snippet.caps)


def _level(snippet: Snippet) -> str:
    """The level of the Pod Security Standards that the patch reaches."""
    addable = default().pod_addable
    caps = {cap for cap, _ in snippet.caps}
    if not caps <= addable["baseline"]:
        return "privileged"
    restricted = caps <= addable["restricted"] and _has_other_uid(snippet)
    if restricted and _forbids_escalation(snippet) and snippet.default_seccomp:
        return "restricted"
    return "baseline"


def _label(name: str) -> str:
    """A name as Kubernetes takes it: lower case, digits and ``-``."""
    return re.sub(r"[^a-z0-9-]", "-", name.lower()).strip("-")


def read(source: str) -> tuple[Declared, ...]:
    """The containers of all pods in a file, as KIND/NAME/CONTAINER; other objects are passed by."""
    documents = Documents(source, DIALECT)
    all_objects = [found for root in documents.roots for found in objects(documents, root)]
    if not all_objects:
        raise BadInput("line 1: not a Kubernetes manifest: it has no object")
    return tuple(declared for found in all_objects for declared in _containers(documents, found))


def objects(documents: Documents, root: Node) -> Iterator[tuple[str, Entries]]:
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


def pod_of(documents: Documents, kind: str, found: Entries) -> tuple[Entries, Entries] | None:
    """What holds the specification of an object's pod, and the specification. A kind that is not
    known (Rollout, Knative's Service) can have a template of a pod as a Deployment has."""
    holder, keys = found, found
    for key in POD_SPEC.get(kind, _TEMPLATE):
        node = keys.get(key)
        if kind not in POD_SPEC and (node is None or not isinstance(node, Mapping)):
            return None
        holder, keys = keys, documents.mapping(node, key)
    return (holder, keys) if kind in POD_SPEC or "containers" in keys else None


def _containers(documents: Documents, found: tuple[str, Entries]) -> Iterator[Declared]:
    kind, keys = found
    if (held := pod_of(documents, kind, keys)) is None:
        return
    metadata = documents.mapping(keys.get("metadata"), "metadata")
    name = next((metadata[key] for key in ("name", "generateName") if key in metadata), None)
    _, keys = held
    pod = documents.mapping(keys.get("securityContext"), "securityContext")
    for group in CONTAINERS:
        for node in documents.items(keys.get(group), group):
            container = documents.mapping(node, f"an item of {group}")
            names = (optional_text(node, "name") for node in (name, container.get("name")))
            service = "/".join((kind, *(said or "?" for said in names)))
            yield _container(documents, service, line(node), container, pod)


def _container(
    documents: Documents, service: str, at: int, container: Entries, pod: Entries
) -> Declared:
    """What the container says; what it does not say of the user, the pod does."""
    own = documents.mapping(container.get("securityContext"), "securityContext")
    said = pod | {key: node for key, node in own.items() if not is_null(node)}
    sets = documents.mapping(own.get("capabilities"), "capabilities")
    drop = documents.texts(sets.get("drop"), "drop")
    add = documents.texts(sets.get("add"), "add")
    users = {key: said.get(key) for key in ("runAsUser", "runAsGroup")}
    uid, gid = (optional_text(node, key) for key, node in users.items())
    other = said.get("runAsNonRoot")
    if uid is None and flag(other, "runAsNonRoot"):
        uid, users["runAsUser"] = NON_ROOT, other
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
