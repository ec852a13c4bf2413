"""The combinations that the API server of Kubernetes refuses in a pod, or the kubelet at its start.

From ValidatePodSpec and ValidateContainers of Kubernetes 1.37 (pkg/apis/core/validation).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from capadvise.config.declared import Declared
from capadvise.config.kubernetes.manifests import ManifestContainer
from capadvise.config.yaml.reader import Documents, Entries, flag, line, text_at
from capadvise.config.yaml.tree import Mapping, Node, Sequence

_Refused = tuple[str, Node, str]
"""(what, where, why)."""
_SERVER, _KUBELET = "Kubernetes refuses the pod: ", "The kubelet does not start the container: "


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
