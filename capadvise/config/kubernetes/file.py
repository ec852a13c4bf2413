"""Kubernetes: the ``securityContext`` of a container."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from capadvise.catalog import default
from capadvise.config import engine, host_paths
from capadvise.config.declared import Declared, Exposure, ExposureAt
from capadvise.config.kubernetes.manifests import (
    DIALECT,
    HOST,
    NON_ROOT,
    POD_SPEC,
    ManifestContainer,
    ManifestObject,
    check_separators,
    objects,
)
from capadvise.config.run.flags import annotation, security_option
from capadvise.config.snippet import YAML_WORDS, Snippet
from capadvise.config.yaml.reader import (
    Documents,
    Entries,
    WrongType,
    any_text,
    command_words,
    flag,
    is_null,
    line,
    optional_text,
    text_at,
)
from capadvise.config.yaml.tree import Mapping, Node, Scalar, Sequence
from capadvise.model.caps import SYS_ADMIN
from capadvise.model.errors import BadInput

# The refusals of the API server and the kubelet are from ValidatePodSpec and ValidateContainers of
# Kubernetes 1.37 (pkg/apis/core/validation).
_Refused = tuple[str, Node, str]
"""(what, where, why)."""
_SERVER, _KUBELET = "Kubernetes refuses the pod: ", "The kubelet does not start the container: "


def render(snippet: Snippet) -> str:
    """A strategic-merge patch: for ``kubectl patch --patch-file`` and for kustomize.

    Upper case without prefix: Pod Security Admission compares exactly.
    """
    name = _label(snippet.name)
    kind, owner, container = snippet.owner or ("Deployment", name, name)
    lines = [
        f"# This patch allows the Pod Security level {_level(snippet)}\n",
        *([] if snippet.owner else [_ANOTHER_KIND]),
        snippet.comments(more=tuple(engine.notes(snippet, "kubernetes"))),
        f"apiVersion: {API_VERSION.get(kind, 'apps/v1')}\nkind: {kind}\n",
        f"metadata:\n  name: {quoted(owner)}\n",
    ]
    depth = 0
    for depth, key in enumerate(POD_SPEC[kind]):
        lines.append(f"{'  ' * depth}{key}:\n")
    lines += indented(_pod(snippet, container), 2 * depth + 2)
    return "".join(lines)


API_VERSION = {"Pod": "v1", "ReplicationController": "v1", "PodTemplate": "v1"} | dict.fromkeys(
    ("Job", "CronJob"), "batch/v1"
)
"""All other kinds are of ``apps/v1``."""
_ANOTHER_KIND = "# for another kind, change apiVersion and kind; a Pod has no template\n"
_KEY = r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63}){0,15}"


def helm_values(snippet: Snippet, key: str) -> str:
    """The securityContext as values of a chart, below a key such as ``web.securityContext``.
    Raises BadInput for what is no key."""
    if not re.fullmatch(_KEY, key):
        raise BadInput(f"--key {key!r:.80} is no key of values", hint="such as web.securityContext")
    lines = [
        f"# These values allow the Pod Security level {_level(snippet)}\n",
        snippet.comments(more=tuple(engine.notes(snippet, "kubernetes"))),
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
    if values := engine.sysctls(snippet):
        yield from ("securityContext:", "  sysctls:")
        for key, value in values.items():
            yield from (f"    - name: {key}", f'      value: "{value}"')
    yield from ("containers:", f"  - name: {quoted(container)}", "    securityContext:")
    yield from (f"      {line}" for line in _security_context(snippet))


def patched_pod(snippet: Snippet, container: str) -> dict[str, Any]:
    """The part of the patch that changes a pod's specification."""
    import yaml  # `emit` has no time for it

    made: dict[str, Any] = yaml.safe_load("\n".join(_pod(snippet, container)))
    return made


def _security_context(snippet: Snippet) -> Iterator[str]:
    if _has_other_uid(snippet):  # of a name, the kubelet cannot tell that it is not root's
        yield "runAsNonRoot: true"
        for key, value in zip(("runAsUser", "runAsGroup"), snippet.ids, strict=True):
            if value is not None and value.isdecimal():
                yield f"{key}: {int(value)}"
    if snippet.unprivileged or snippet.owner:
        yield "privileged: false # devices of the host then need a device plugin"
    if forbids_escalation(snippet):
        yield "allowPrivilegeEscalation: false"
    if (opening := snippet.opening) is not None:
        yield "# each node needs it as /var/lib/kubelet/seccomp/" + snippet.profile_name
        yield from ("seccompProfile:", "  type: Localhost")
        yield f"  localhostProfile: {snippet.profile_name}"
        if opening.unmasked:
            yield "procMount: Unmasked"
    elif snippet.default_seccomp:
        yield "seccompProfile:"
        yield "  type: RuntimeDefault"
    yield from ("capabilities:", "  drop:", "    - ALL")
    if not snippet.caps:
        yield "  add: []"  # takes away what the manifest adds
    else:
        yield "  add:"
        yield from (f"    - {cap.short} # {reason}" for cap, reason in snippet.caps)


def _has_other_uid(snippet: Snippet) -> bool:
    """True if the pod can set the uid. For a running process, nobody knows the user with which its
    container is configured."""
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
    check_separators(source)
    return declared_in(Documents(source, DIALECT))


def declared_in(documents: Documents) -> tuple[Declared, ...]:
    """The containers of all pods in documents. Raises BadInput if they hold no object."""
    every = objects(documents)
    if not every:
        raise BadInput("line 1: not a Kubernetes manifest: it has no object")
    return tuple(_judged(documents, each, one) for each in every for one in each.containers)


def _judged(documents: Documents, of: ManifestObject, container: ManifestContainer) -> Declared:
    """The declaration of a container. In a kind that is not known, keys can have other meanings."""
    part = Declared(container.service, container.line, ("ALL",), unjudged=container.unjudged)
    try:
        if container.whole:
            one = _declared(documents, container)
            is_pod = of.kind.rpartition("/")[2] in POD_SPEC
            if not is_pod:
                return one
            exposed = (*one.exposed, *_of_pod(documents, container))
            return validated(documents, container, replace(one, exposed=exposed))
        return replace(part, exposed=tuple(_folders(documents, container)))
    except WrongType as error:
        if of.kind.rpartition("/")[2] in POD_SPEC:
            raise
        return replace(part, unjudged=((str(error), container.line),))


def _of_pod(documents: Documents, container: ManifestContainer) -> Iterator[ExposureAt]:
    """The volumes and the runtime of a pod that can give it anything."""
    for node in documents.items(container.pod.get("volumes"), "volumes"):
        for key, value in documents.mapping(node, "an item of volumes").items():
            driver = documents.inner({key: value}, key) if isinstance(value, Mapping) else {}
            yield from host_paths.reached("volume", key, text_at(driver, "driver"), line(value))
    if runtime := text_at(container.pod, "runtimeClassName"):
        at = line(container.pod["runtimeClassName"])
        yield from host_paths.reached("pod", "runtimeClassName", runtime, at)


def _declared(documents: Documents, container: ManifestContainer) -> Declared:
    """The declaration of a container; the pod decides on the user if the container does not."""
    pod = documents.mapping(container.pod.get("securityContext"), "securityContext")
    own = container.context
    said = pod | {key: node for key, node in own.items() if not is_null(node)}
    sets = documents.inner(own, "capabilities")
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
        command=command_words(container.keys.get("command")),
        line=container.line,
        drop=tuple(cap for cap, _ in drop),
        add=tuple(cap for cap, _ in add),
        privileged=flag(own.get("privileged"), "privileged") is True,
        user=uid if uid is None or gid is None else f"{uid}:{gid}",
        groups=any(said.get(key) for key in ("supplementalGroups", "fsGroup")),
        no_new_privileges=None if escalation is None else not escalation,
        lines=(*((what, line(node)) for what, node in places if node is not None), *drop, *add),
        exposed=tuple(_exposed(documents, container, said)),
        windows=_is_windows(documents, container.pod),
    )


_HOST = host_paths.namespaces("kubernetes")
_OF_CONTAINER = ("container.", "io.podman.annotations.")
"""Annotations that begin so end with the name of the container that they are for, behind a slash.
"""
_PROFILES = {
    "seccompProfile": Exposure.UNFILTERED,
    "appArmorProfile": Exposure.UNCONFINED,
}


def _exposed(
    documents: Documents, own: ManifestContainer, context: Entries
) -> Iterator[ExposureAt]:
    """The exposures. ``context``: the container's securityContext, completed by the pod's."""
    for key, exposure in _HOST.items():
        if flag(own.pod.get(key), key):
            yield ExposureAt(exposure, f"{key}: true", line(own.pod[key]))
    if flag(own.pod.get("hostUsers"), "hostUsers") is False:
        yield ExposureAt(Exposure.OWN_USERS, "hostUsers: false", line(own.pod["hostUsers"]))
    for key, exposure in _PROFILES.items():
        profile = context.get(key)
        if isinstance(profile, Mapping):
            kind = documents.mapping(profile, key).get("type")
            if optional_text(kind, "type") == "Unconfined":
                yield ExposureAt(exposure, f"{key}: Unconfined", line(profile))
    if optional_text(context.get("procMount"), "procMount") == "Unmasked":
        yield ExposureAt(Exposure.UNMASKED, "procMount: Unmasked", line(context["procMount"]))
    yield from _labels(documents, own, context)
    yield from _folders(documents, own)


def _labels(documents: Documents, own: ManifestContainer, context: Entries) -> Iterator[ExposureAt]:
    """Labels and annotations that switch off SELinux or AppArmor, and processes of the node."""
    selinux = context.get("seLinuxOptions")
    if isinstance(selinux, Mapping):
        kind = optional_text(documents.mapping(selinux, "seLinuxOptions").get("type"), "type")
        for item in security_option(f"label=type:{kind or ''}", line(selinux)):
            yield replace(item, what=f"seLinuxOptions: {kind}")
    name = own.service.rpartition("/")[2]
    for key, said in own.annotations.items():
        of = key.partition("/")[2] if key.startswith(_OF_CONTAINER) else ""
        if of in ("", "pod", name):
            yield from annotation(key, any_text(said) or "", line(said))
    whole = documents.mapping(own.pod.get("securityContext"), "securityContext")
    for place in (own.context, whole):
        options = place.get("windowsOptions")
        if isinstance(options, Mapping):
            switch = documents.mapping(options, "windowsOptions").get("hostProcess")
            if flag(switch, "hostProcess"):
                yield ExposureAt(Exposure.WINDOWS_HOST, "hostProcess: true", line(options))


def _folders(documents: Documents, container: ManifestContainer) -> Iterator[ExposureAt]:
    paths = _host_paths(documents, container.pod)
    mounts = container.keys.get("volumeMounts", container.keys.get("volumeDevices"))
    unsaid = "volumes" in container.keys and not isinstance(mounts, Sequence)
    if container.keys is container.pod or unsaid:  # nobody says who mounts them
        for path, at in paths.values():
            yield from host_paths.mounted(path, at, writable=True)
        return
    if not paths or not isinstance(mounts, Sequence):
        return
    writable: dict[str, bool] = {}
    for node in documents.items(mounts, "volumeMounts"):
        keys = documents.mapping(node, "an item of volumeMounts")
        name = text_at(keys, "name")
        read_only = flag(keys.get("readOnly"), "readOnly") is True
        writable[name] = writable.get(name, False) or not read_only
    for name, (path, at) in paths.items():
        if name in writable:
            yield from host_paths.mounted(path, at, writable=writable[name])


def _host_paths(documents: Documents, pod: Entries) -> dict[str, tuple[str, int]]:
    """The folders of the node, by the names of the volumes."""
    volumes = pod.get("volumes")
    paths = {}
    for node in documents.items(volumes, "volumes") if isinstance(volumes, Sequence) else ():
        if isinstance(node, Mapping):
            keys = documents.mapping(node, "an item of volumes")
            for host in (keys[key] for key in HOST if key in keys):
                inner = documents.mapping(host, "hostPath") if isinstance(host, Mapping) else {}
                said = host if isinstance(host, Scalar) else inner.get("path")
                paths[text_at(keys, "name")] = (optional_text(said, "path") or "", line(host))
    return paths


def _is_windows(documents: Documents, pod: Entries) -> bool:
    system = pod.get("os")
    if isinstance(system, Mapping):
        return optional_text(documents.mapping(system, "os").get("name"), "name") == "windows"
    return False


def read_shown(shown: str, name: str) -> tuple[Declared, ...]:
    """The containers of all objects."""
    decoder, rest, objects = json.JSONDecoder(), shown.strip(), []
    while rest:
        value, end = decoder.raw_decode(rest)
        objects.append(json.dumps(value))
        rest = rest[end:].strip()
    return read("\n---\n".join(objects))


def validated(documents: Documents, container: ManifestContainer, one: Declared) -> Declared:
    """The declaration of a container, with what is refused of it."""
    every = list(_refused(documents, container, one))
    return replace(
        one,
        lines=(*one.lines, *((what, line(node)) for what, node, _ in every)),
        refused=tuple((what, why) for what, _, why in every),
    )


def _refused(
    documents: Documents, container: ManifestContainer, one: Declared
) -> Iterator[_Refused]:
    own, pod = container.context, container.pod
    whole = documents.mapping(pod.get("securityContext"), "securityContext")
    said = whole | own
    if one.no_new_privileges:  # validation compares the name exactly
        why = f"{_SERVER}allowPrivilegeEscalation is false."
        for what in [*["privileged"] * one.privileged, *one.add]:
            if what in ("privileged", "CAP_SYS_ADMIN"):
                yield what, own.get("privileged", own["allowPrivilegeEscalation"]), why
    on = {key for key in ("hostPID", "hostIPC", "hostNetwork") if flag(pod.get(key), key)}
    own_users = flag(pod.get("hostUsers"), "hostUsers") is False
    for key in sorted(on) if own_users else ():
        yield f"{key}: true", pod[key], f"{_SERVER}hostUsers is false."
    key = "shareProcessNamespace"
    if "hostPID" in on and flag(pod.get(key), key):
        yield f"{key}: true", pod[key], f"{_SERVER}hostPID is true."
    if text_at(own, "procMount") == "Unmasked" and not own_users:
        yield "procMount: Unmasked", own["procMount"], f"{_SERVER}it requires hostUsers: false."
    if flag(said.get("runAsNonRoot"), "runAsNonRoot") and text_at(said, "runAsUser") == "0":
        yield "runAsUser: 0", said["runAsUser"], f"{_KUBELET}runAsNonRoot is true."
    yield from _profiles(documents, said)
    yield from _mounts(documents, container, one)


def _profiles(documents: Documents, said: Entries) -> Iterator[_Refused]:
    for key in ("seccompProfile", "appArmorProfile"):
        profile = documents.inner(said, key) if isinstance(said.get(key), Mapping) else {}
        local = text_at(profile, "type") == "Localhost"
        if profile and local != bool(text_at(profile, "localhostProfile")):
            why = f"{_SERVER}type: Localhost and localhostProfile require each other."
            yield key, said[key], why


def _mounts(
    documents: Documents, container: ManifestContainer, one: Declared
) -> Iterator[_Refused]:
    mounts = container.keys.get("volumeMounts")
    for node in documents.items(mounts, "volumeMounts") if isinstance(mounts, Sequence) else ():
        keys = documents.mapping(node, "an item of volumeMounts")
        if text_at(keys, "mountPropagation") == "Bidirectional" and not one.privileged:
            what, why = (
                "mountPropagation: Bidirectional",
                "only a privileged container may have it.",
            )
            yield what, keys["mountPropagation"], f"{_SERVER}{why}"
