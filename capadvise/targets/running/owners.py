"""The owner of a process, by its control group: a container, a pod, a unit, a user. If the process
is over, only the group that the kernel reported is known."""

from __future__ import annotations

import pwd
import re
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from itertools import dropwhile, takewhile

from capadvise.judgement.watched import LeastRecentlyUsed, Owner, OwnerKind
from capadvise.kernel import procfs
from capadvise.model.errors import CapadviseError
from capadvise.model.target import UNIT_KINDS
from capadvise.targets.client.cgroup_path import Place, parse_place
from capadvise.targets.client.container import PROJECT_LABEL, Container
from capadvise.targets.containers import registry
from capadvise.targets.kubernetes.cri import node
from capadvise.targets.running import target

_KEPT = 512
"""Owners that are remembered."""
_USER_SLICE = re.compile(r"user-(\d+)\.slice\Z")
_MANAGER = re.compile(r"user@\d+\.service\Z")
_UNIT = tuple(UNIT_KINDS)


class Owners:
    """Asks each engine once for each container."""

    def __init__(self) -> None:
        self._known: LeastRecentlyUsed[str, Owner] = LeastRecentlyUsed(_KEPT)

    def of(self, pid: int, program: str, groups: Sequence[str]) -> Owner:
        """``groups``: its control group and those above it, the outermost first."""
        text = procfs.cgroup(pid)
        if all(line.endswith(":/") for line in text.splitlines()):  # it is gone, or in none
            text = f"0::/{'/'.join(groups)}\n"
        place = parse_place(text)
        if place is not None:
            return self._of_container(pid, place)
        for line in text.splitlines():
            parts = line.split(":", 2)[-1].strip("/").split("/")
            if (owner := unit_or_user(parts)) is not None:
                return owner
        kept = _rootless(pid)
        return kept or Owner(OwnerKind.PROGRAM, program)

    def _of_container(self, pid: int, place: Place) -> Owner:
        known = self._known.get(place.container)
        if known is None:
            known = _container(pid, place)
            self._known.put(place.container, known)
        return known


def unit_or_user(parts: Sequence[str]) -> Owner | None:
    """The unit or the user that owns a control group, by its path. Only slices are above a unit,
    unless its manager is in a group of its own."""
    inner_part = (".slice", *_UNIT)
    parts = list(dropwhile(lambda part: not part.endswith(inner_part), parts))
    slices = list(takewhile(lambda part: part.endswith(".slice"), parts))
    below = parts[len(slices) :]
    users = [match[1] for part in slices if (match := _USER_SLICE.fullmatch(part))]
    if users:
        name = _user(int(users[0]))
        inner = unit_or_user(below[1:]) if below and _MANAGER.fullmatch(below[0]) else None
        if inner is not None and inner.kind is OwnerKind.UNIT:
            return Owner(OwnerKind.USER, f"{name}, {inner.name}")
        return Owner(OwnerKind.USER, name)
    if below and below[0].endswith(_UNIT):
        return Owner(OwnerKind.UNIT, below[0])
    return None


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return f"uid {uid}"


def _container(pid: int, place: Place) -> Owner:
    """The engine's name for it; its id if no engine answers."""
    engines = [place.engine] if place.engine in registry.ENGINES else list(registry.ENGINES)
    if place.engine != "cri":
        for client in registry.clients():
            if client.engine in engines:
                with suppress(CapadviseError, subprocess.SubprocessError):
                    container = registry.quick(client).find(place.container)
                    if container is not None:
                        return _described(container)
        if (kept := _rootless(pid)) is not None:
            return kept
    short = place.container[:12]
    if place.engine == "cri" or place.pod:
        return _of_pod(place, short)
    return Owner(OwnerKind.CONTAINER, short, place.engine, container=place.container)


def _of_pod(place: Place, short: str) -> Owner:
    """The pod that the shim's bundle names; the container may be over."""
    kept = (one.container for one in node.containers() if one.container.id == place.container)
    item = next(kept, None) or node.created(place.container)
    if item is None:
        return Owner(OwnerKind.POD, short, "cri", pod=place.pod, container=place.container)
    pod = f"{item.namespace}/{item.pod}"
    return Owner(OwnerKind.POD, item.name, item.engine, pod=pod, container=place.container)


def _described(container: Container) -> Owner:
    project = container.labels.get(PROJECT_LABEL) if container.service else None
    return Owner(
        OwnerKind.CONTAINER,
        container.service if container.service and project else container.name,
        container.engine,
        project=project,
        container=container.id,
    )


def _rootless(pid: int) -> Owner | None:
    """A container of another user's podman: conmon's command line has its name."""
    running = target.below_conmon(pid)
    if running is None:
        return None
    known = running.target
    return Owner(OwnerKind.CONTAINER, known.name, known.engine, container=known.container)
