"""Kubernetes: the ``securityContext`` of a container."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from capadvise.catalog import default
from capadvise.config import engine
from capadvise.config.declared import Declared
from capadvise.config.kubernetes import exposed as pod_exposed
from capadvise.config.kubernetes import manifests
from capadvise.config.kubernetes.manifests import DIALECT, NON_ROOT, FoundContainer
from capadvise.config.object_names import API_VERSION, POD_SPEC
from capadvise.config.snippet import YAML_WORDS, Snippet
from capadvise.config.yaml.reader import Documents, any_text, flag, is_null, line, optional_text
from capadvise.model.caps import SYS_ADMIN
from capadvise.model.errors import BadInput


def render(snippet: Snippet) -> str:
    """A strategic-merge patch: for ``kubectl patch --patch-file`` and for kustomize.

    Upper case without prefix: Pod Security Admission compares exactly.
    """
    name = _label(snippet.name)
    kind, owner, container = snippet.owner or ("Deployment", name, name)
    lines = [
        f"# Pod Security level: {_level(snippet)}, as far as this patch decides it\n",
        *([] if snippet.owner else [_ANOTHER_KIND]),
        snippet.comments(more=tuple(engine.notes(snippet))),
        f"apiVersion: {API_VERSION.get(kind, 'apps/v1')}\nkind: {kind}\n",
        f"metadata:\n  name: {quoted(owner)}\n",
    ]
    depth = 0
    for depth, key in enumerate(POD_SPEC[kind]):
        lines.append(f"{'  ' * depth}{key}:\n")
    lines += indented(_pod(snippet, container), 2 * depth + 2)
    return "".join(lines)


_ANOTHER_KIND = "# for another kind, change apiVersion and kind; a Pod has no template\n"
_KEY = r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63}){0,15}"


def helm_values(snippet: Snippet, key: str) -> str:
    """The securityContext as values of a chart, below a key such as ``web.securityContext``.
    Raises BadInput for what is no key."""
    if not re.fullmatch(_KEY, key):
        raise BadInput(f"--key {key!r:.80} is no key of values", hint="such as web.securityContext")
    lines = [
        f"# Pod Security level: {_level(snippet)}, as far as these values decide it\n",
        snippet.comments(more=tuple(engine.notes(snippet))),
    ]
    depth = 0
    for depth, part in enumerate(key.split(".")):
        lines.append(f"{'  ' * depth}{quoted(part)}:\n")
    return "".join([*lines, *indented(_security_context(snippet), 2 * depth + 2)])


def quoted(name: str) -> str:
    """A name, so that YAML takes it for a text."""
    return name if name[0].isalpha() and name.lower() not in YAML_WORDS else f'"{name}"'


def indented(lines: Iterable[str], by: int) -> Iterator[str]:
    """Each with its line end."""
    return (f"{' ' * by}{line}\n" for line in lines)


def _pod(snippet: Snippet, container: str) -> Iterator[str]:
    """The lines of a pod's specification."""
    if values := engine.sysctls(snippet):
        yield from ("securityContext:", "  sysctls:")
        for key, value in values.items():
            yield from (f"    - name: {key}", f'      value: "{value}"')
    yield from ("containers:", f"  - name: {quoted(container)}", "    securityContext:")
    yield from (f"      {line}" for line in _security_context(snippet))


def _security_context(snippet: Snippet) -> Iterator[str]:
    """The lines of a container's ``securityContext``."""
    if _has_other_uid(snippet):  # of a name, the kubelet cannot tell that it is not root's
        yield "runAsNonRoot: true"
        for key, value in zip(("runAsUser", "runAsGroup"), snippet.ids, strict=True):
            if value is not None and value.isdecimal():
                yield f"{key}: {int(value)}"
    if snippet.unprivileged or snippet.owner:
        yield "privileged: false # devices of the host then need a device plugin"
    if forbids_escalation(snippet):
        yield "allowPrivilegeEscalation: false"
    if snippet.default_seccomp:
        yield "seccompProfile:"
        yield "  type: RuntimeDefault"
    yield from ("capabilities:", "  drop:", "    - ALL")
    if not snippet.caps:
        yield "  add: []"  # takes away what the manifest adds
    else:
        yield "  add:"
        yield from (f"    - {cap.short} # {reason}" for cap, reason in snippet.caps)


def _has_other_uid(snippet: Snippet) -> bool:
    """Of a process that was found, nobody knows as whom its container is configured to start."""
    return not snippet.of_process and not snippet.root and snippet.ids[0].isdecimal()


def forbids_escalation(snippet: Snippet) -> bool:
    """Kubernetes takes a container with SYS_ADMIN for one that may escalate."""
    return engine.no_new_privileges(snippet) and all(cap != SYS_ADMIN for cap, _ in snippet.caps)


def _level(snippet: Snippet) -> str:
    """The level of the Pod Security Standards that the patch reaches."""
    addable = default().pod_addable
    caps = {cap for cap, _ in snippet.caps}
    if not caps <= addable["baseline"]:
        return "privileged"
    restricted = caps <= addable["restricted"] and _has_other_uid(snippet)
    if restricted and forbids_escalation(snippet) and snippet.default_seccomp:
        return "restricted"
    return "baseline"


def _label(name: str) -> str:
    """A name as Kubernetes takes it: lower case, digits and ``-``."""
    return re.sub(r"[^a-z0-9-]", "-", name.lower()).strip("-")


def read(source: str, path: str = "") -> tuple[Declared, ...]:
    """The containers of all pods in a file, as KIND/NAME/CONTAINER; other objects are passed by.
    A container that has no name and several in one place are distinguished by their lines."""
    documents = Documents(source, DIALECT)
    manifests.check_separators(source)
    every = manifests.objects(documents)
    if not every:
        raise BadInput("line 1: not a Kubernetes manifest: it has no object")
    return tuple(_declared(documents, container) for each in every for container in each.containers)


def _declared(documents: Documents, container: FoundContainer) -> Declared:
    """What the container says; what it does not say of the user, the pod does."""
    pod = documents.mapping(container.pod.get("securityContext"), "securityContext")
    own = container.context
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
        service=container.service,
        image=any_text(container.keys.get("image")),
        line=container.line,
        drop=tuple(cap for cap, _ in drop),
        add=tuple(cap for cap, _ in add),
        privileged=flag(own.get("privileged"), "privileged") is True,
        user=uid if uid is None or gid is None else f"{uid}:{gid}",
        groups=any(said.get(key) for key in ("supplementalGroups", "fsGroup")),
        no_new_privileges=None if escalation is None else not escalation,
        lines=(*((what, line(node)) for what, node in places if node is not None), *drop, *add),
        exposed=tuple(pod_exposed.exposed(documents, container, said)),
        windows=pod_exposed.windows(documents, container.pod),
    )
