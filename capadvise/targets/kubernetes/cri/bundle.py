"""What the configuration of a bundle says of a pod's container. Pure.

It is the specification that the runtime was given (config.json of the OCI runtime specification),
with annotations of containerd's CRI plugin, or of CRI-O.
"""

from __future__ import annotations

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


_Said = tuple[str, str, str | None, str | None]
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
    """As it was configured: ``uid:gid``."""
    argv: tuple[str, ...]
    cwd: str
    bounding: CapSet
    privileged: bool

    @property
    def called(self) -> str:
        """``NAMESPACE/POD/CONTAINER``."""
        return "/".join((self.namespace, self.pod, *([self.name] if self.name else [])))


def parse(container: str, text: str) -> CriContainer | None:
    """The container with this id; None for what no kubelet has made, and for what is no
    configuration."""
    try:
        spec = json.loads(text)
        annotations = spec.get("annotations") or {}
        for engine, say in _ENGINES.items():
            if (said := say(annotations)) is not None:
                return _container(engine, container, spec, *said)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        pass
    return None


def _said_by_containerd(told: Mapping[str, Any]) -> _Said | None:
    kind = told.get(f"{_CONTAINERD}container-type")
    if kind not in ("sandbox", "container"):
        return None
    name = told[f"{_CONTAINERD}container-name"] if kind == "container" else None
    of = f"{_CONTAINERD}sandbox-"
    return told[f"{of}namespace"], told[f"{of}name"], name, told.get(f"{_CONTAINERD}image-name")


def _said_by_cri_o(told: Mapping[str, Any]) -> _Said | None:
    kind = told.get(f"{_CRI_O}ContainerType")
    if kind not in ("sandbox", "container"):
        return None
    labels = json.loads(told[f"{_CRI_O}Labels"])
    name = labels[f"{_LABEL}container.name"] if kind == "container" else None
    image = told.get(f"{_CRI_O}ImageName") or told.get(f"{_CRI_O}Image")
    return labels[f"{_LABEL}pod.namespace"], labels[f"{_LABEL}pod.name"], name, image


_ENGINES = {"containerd": _said_by_containerd, "cri-o": _said_by_cri_o}


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
    """Whether its control group lets it use every device: what nothing but ``privileged`` does."""
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
