"""The configuration in a bundle: a pod's container. Pure.

It is the specification for the runtime (config.json of the OCI runtime specification), with
annotations of containerd's CRI plugin, or of CRI-O.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from capadvise.config.kubernetes.manifests import is_object_name
from capadvise.model.caps import Cap, CapSet

ID = re.compile("[0-9a-f]{64}")
_CONTAINERD, _CRI_O = "io.kubernetes.cri.", "io.kubernetes.cri-o."
_LABEL = "io.kubernetes."
_DIGEST = re.compile("@sha256:[0-9a-f]{64}$")


_PodNames = tuple[str, str, str | None, str | None]
"""Namespace, pod, container, image; the one that only holds the namespaces has no name."""


@dataclass(frozen=True, slots=True)
class CriContainer:
    """A container of a pod. Image and arguments are hostile: escape before showing them."""

    engine: str
    """``containerd`` or ``cri-o``."""
    id: str
    namespace: str
    pod: str
    name: str
    """Empty for the one that only holds the pod's namespaces, ``pause``."""
    image: str | None
    user: str
    """The configured user: ``uid:gid``."""
    argv: tuple[str, ...]
    cwd: str
    bounding: CapSet
    privileged: bool

    @property
    def called(self) -> str:
        """``NAMESPACE/POD/CONTAINER``."""
        return "/".join((self.namespace, self.pod, *([self.name] if self.name else [])))


def parse(container: str, text: str) -> CriContainer | None:
    """The container with this id; None if no kubelet made it, or the text is no configuration."""
    try:
        spec = json.loads(text)
        annotations = spec.get("annotations") or {}
        for engine, names_of in _ENGINES.items():
            if (names := names_of(annotations)) is not None:
                return _container(engine, container, spec, *names)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        pass
    return None


def _names_by_containerd(annotations: Mapping[str, Any]) -> _PodNames | None:
    kind = annotations.get(f"{_CONTAINERD}container-type")
    if kind not in ("sandbox", "container"):
        return None
    name = annotations[f"{_CONTAINERD}container-name"] if kind == "container" else None
    of = f"{_CONTAINERD}sandbox-"
    return (
        annotations[f"{of}namespace"],
        annotations[f"{of}name"],
        name,
        annotations.get(f"{_CONTAINERD}image-name"),
    )


def _names_by_cri_o(annotations: Mapping[str, Any]) -> _PodNames | None:
    kind = annotations.get(f"{_CRI_O}ContainerType")
    if kind not in ("sandbox", "container"):
        return None
    labels = json.loads(annotations[f"{_CRI_O}Labels"])
    name = labels[f"{_LABEL}container.name"] if kind == "container" else None
    image = annotations.get(f"{_CRI_O}ImageName") or annotations.get(f"{_CRI_O}Image")
    return labels[f"{_LABEL}pod.namespace"], labels[f"{_LABEL}pod.name"], name, image


_ENGINES = {"containerd": _names_by_containerd, "cri-o": _names_by_cri_o}


def _container(
    engine: str,
    container: str,
    spec: Mapping[str, Any],
    namespace: str,
    pod: str,
    name: str | None,
    image: str | None,
) -> CriContainer | None:
    if not all(is_object_name(one) for one in (namespace, pod, name) if one is not None):
        return None
    process, linux = spec["process"], spec.get("linux") or {}
    names = (process.get("capabilities") or {}).get("bounding") or ()
    bounding = frozenset(Cap.parse(each) for each in names)
    user = process.get("user") or {}
    return CriContainer(
        *(engine, container, namespace, pod, name or "", None if image is None else str(image)),
        user=f"{int(user.get('uid') or 0)}:{int(user.get('gid') or 0)}",
        argv=tuple(map(str, process["args"])),
        cwd=str(process.get("cwd") or "/"),
        bounding=bounding,
        privileged=_all_devices(linux),
    )


def _all_devices(linux: Mapping[str, Any]) -> bool:
    """True if its control group lets it use every device: only ``privileged`` does that."""
    rules = (linux.get("resources") or {}).get("devices") or ()
    return any(
        rule.get("allow") is True and not rule.get("type") and rule.get("major") is None
        for rule in rules
    )


def with_digest(image: str | None, digest: str | None) -> str | None:
    """``busybox:1`` as ``busybox:1@sha256:…``."""
    if image is None or digest is None or _DIGEST.search(image):
        return image
    return f"{image}@{digest}"
