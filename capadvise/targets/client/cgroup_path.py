"""The container that the path of a control group names. Pure.

Engines and kubelets write the container's id into it: ``/docker/ID``, ``…/docker-ID.scope``,
``…/libpod-ID.scope``, ``/kubepods/burstable/podUID/ID``,
``…/kubepods-burstable-podUID.slice/cri-containerd-ID.scope``, ``…/crio-ID.scope``.
"""

import re
from dataclasses import dataclass

_ID = re.compile(r"(?:([a-z-]{1,20})-|/)([0-9a-f]{64})(?:\.scope)?(?=/|$)", re.MULTILINE)
_POD = re.compile(r"pod([0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}|[0-9a-f]{32})\b")
_ENGINES = {"docker": "docker", "libpod": "podman", "cri-containerd": "cri", "crio": "cri"}


@dataclass(frozen=True, slots=True)
class Place:
    """The container in which a process runs."""

    container: str
    """The id."""
    engine: str | None
    """``docker``, ``podman``, or ``cri`` for what a kubelet started; None: it is not said."""
    pod: str | None = None
    """The pod's uid."""


def parse_place(text: str) -> Place | None:
    """Parse ``/proc/PID/cgroup``: the innermost container; None for a process in none."""
    ids = list(_ID.finditer(text))
    if not ids:
        return None
    prefix, container = ids[-1].groups()
    pod = _POD.search(text)
    engine = _ENGINES.get(prefix or "")
    if pod:
        engine = "cri"
    elif engine is None and f"/docker/{container}" in text:
        engine = "docker"
    return Place(container, engine, pod[1].replace("_", "-") if pod else None)
