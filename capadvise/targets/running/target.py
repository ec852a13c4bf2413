"""The targets that ``attach`` takes: a process, a unit, or a container by name, id or process."""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from capadvise.kernel import procfs, user_namespaces
from capadvise.kernel.process_tree import descendants
from capadvise.model.errors import BadInput, CannotObserve, CapadviseError
from capadvise.model.target import Target
from capadvise.targets.client.cgroup_path import parse_place
from capadvise.targets.client.client import EngineError
from capadvise.targets.client.container import Container
from capadvise.targets.containers import registry
from capadvise.targets.shims import CONMON, container_id, is_shim, word_after
from capadvise.targets.systemd import manager
from capadvise.targets.systemd.invocation import (
    ACTIVATORS,
    RECORDED,
    restart_of,
    service_for,
    unit_name,
)
from capadvise.targets.systemd.refusals import refused
from capadvise.targets.systemd.safety import require_own_processes, require_restartable
from capadvise.targets.systemd.unit import ServiceUnit
from capadvise.targets.systemd.unit_starts import first_process, in_unit

_SHORTEST_ID = 12


@dataclass(frozen=True, slots=True)
class Running:
    """A running target. It is only watched."""

    pid: int
    """Its main process; for a container, the first one."""
    target: Target
    shim: int = 0
    """The shim that starts what is executed in the container later; for a unit, its manager."""
    pid_namespace: int | None = None
    """The pid namespace of the container, if it has its own."""
    description: Container | None = None
    """The engine's description."""
    unit: ServiceUnit | None = None
    """The manager's description."""
    restart: bool = False
    """True for a unit that is to be restarted once it is watched."""

    def is_called(self, name: str) -> bool:
        """True if this is the container's name, or begins its id."""
        container = self.target.container or ""
        by_id = len(name) >= _SHORTEST_ID and container.startswith(name)
        return by_id or name == self.target.name

    def has(self, pid: int) -> bool:
        """True if a process belongs to the container, or to the unit."""
        if self.unit is not None:
            return bool(in_unit(pid, self.unit.name))
        container = self.target.container
        if container and container in procfs.cgroup(pid):
            return True
        own = self.pid_namespace
        return own is not None and procfs.namespace(pid, "pid") == own

    def is_entered_by(self, pid: int) -> bool:
        """True if a runtime, or the process that keeps it, names the container in its arguments."""
        return self.target.container in procfs.arguments(pid)

    def daemon(self) -> list[int]:
        """docker's threads that start its next shim, if they are processes of this machine."""
        if self.target.engine != "docker":
            return []
        with suppress(CannotObserve, EngineError, OSError):
            for client in registry.clients("docker"):
                return registry.ENGINES["docker"].ancestors(client)()
        return []

    def processes(self) -> list[int]:
        """The present processes: all in a container or a unit, else all descendants."""
        ours = {os.getpid(), *descendants(os.getpid())}
        pids = {self.pid, *descendants(self.pid)}
        if self.target.kind in ("container", "unit"):
            pids |= {pid for pid in procfs.processes() if self.has(pid)}
        return sorted(pids - ours)


def find(what: str) -> Running:
    """A pid, or the name or id of a container, also as ``container:NAME``. Raises BadInput if there
    is no such thing, with the one of that name that there is."""
    kind, colon, name = what.partition(":")
    if colon and kind == "container" and name:
        return by_name(name)
    try:
        return _find(what)
    except BadInput as error:
        if meant := namesake(what, containers=False):
            raise BadInput(str(error), hint=f"did you mean {meant}?") from error
        raise


def namesake(name: str, *, containers: bool = True) -> str | None:
    """What ``inspect`` and ``attach`` call a container, a unit or a process of this name; None if
    there is none."""
    if containers:
        with suppress(CapadviseError):
            by_name(name)
            return f"container:{name}"
    if not is_unit(name) and os.path.isdir(manager.BOOTED):
        with suppress(CapadviseError):
            return manager.known(unit_name(f"{name}.service")).name
    pids = (pid for pid in sorted(procfs.processes()) if procfs.comm(pid) == name)
    pid = next(pids, None)
    return None if pid is None else f"{pid}, a process of that name"


def _find(what: str) -> Running:
    if what.isdecimal() and what.isascii():
        pid = procfs.process_of(int(what))
        if pid is not None:
            return _by_pid(pid)
        if len(what) < _SHORTEST_ID:
            raise BadInput(f"there is no process {what}")
    return by_name(what)


def by_name(name: str) -> Running:
    """A container of docker or podman, or of another user's podman."""
    try:
        return _container(registry.running_container(name))
    except BadInput:
        kept = [running for running in _below_conmon() if running.is_called(name)]
        if len(kept) != 1:
            raise
        return kept[0]


def _below_conmon() -> Iterator[Running]:
    """The containers of every user: conmon's command line has the id and the name."""
    for shim in procfs.processes():
        if procfs.comm(shim) == CONMON:
            for pid in descendants(shim)[:1]:
                if running := _below(shim, pid):
                    yield running


def _below(shim: int, pid: int) -> Running | None:
    """The container that a conmon keeps, whose first process is ``pid``."""
    words = procfs.arguments(shim)
    container = container_id(words)
    if procfs.comm(shim) != CONMON or container is None:
        return None
    name = word_after(words, "-n", "--name")
    target = replace(
        target_of(pid, "container"),
        container=container,
        engine="podman",
        name=name or container[:12],
    )
    return _in_container(pid, target, None)


def _by_pid(pid: int) -> Running:
    if pid == os.getpid():
        raise BadInput("this is capadvise itself")
    if not os.path.exists(f"/proc/{pid}/exe") and not procfs.arguments(pid):
        dead = procfs.state(pid) in ("Z", "X", "")
        raise BadInput(f"process {pid} {'has ended' if dead else 'is a kernel thread'}")
    place = parse_place(procfs.cgroup(pid))
    if place is None or place.engine is None:
        # a rootless podman may have no control groups to use
        return below_conmon(pid) or Running(pid, target_of(pid, "process"))
    description = None
    if place.engine in registry.ENGINES:
        for client in registry.clients(place.engine):
            with suppress(EngineError, BadInput):
                description = description or client.find(place.container)
    if description is not None:
        return _container(description)
    first = _first_of(place.container, pid)
    target = replace(
        target_of(first, "container"),
        container=place.container,
        engine=place.engine,
        pod=place.pod,
        name=place.container[:12],
    )
    return _in_container(first, target, None)


def below_conmon(pid: int) -> Running | None:
    """The container of a conmon above a process."""
    chain = [pid, *_ancestors(pid)]
    kept = (_below(shim, below) for below, shim in pairwise(chain))
    return next(filter(None, kept), None)


def _ancestors(pid: int) -> Iterator[int]:
    while (pid := procfs.parent(pid)) > 1:
        yield pid


def _first_of(container: str, pid: int) -> int:
    """The container's own first process: the topmost that is still in its control group."""
    while (above := procfs.parent(pid)) > 1 and container in procfs.cgroup(above):
        pid = above
    return pid


def _container(container: Container) -> Running:
    if procfs.process_of(container.pid) is None:
        raise CannotObserve(
            f"the container {container.name} is not a process of this machine",
            hint=f"run capadvise where {container.engine} runs",
        )
    target = target_of(container.pid, "container")
    target = replace(
        target,
        user=configured_user(container) or target.user,
        name=container.name,
        argv=container.argv,
        image=container.image,
        engine=container.engine,
        container=container.id,
        service=container.service,
        privileged=container.privileged,
    )
    return _in_container(container.pid, target, container)


def _in_container(pid: int, target: Target, description: Container | None) -> Running:
    own = procfs.namespace(pid, "pid")
    above = procfs.parent(pid)
    return Running(
        pid,
        target,
        shim=above if is_shim(procfs.comm(above)) else 0,
        pid_namespace=None if own == procfs.INITIAL_PID_NAMESPACE else own,
        description=description,
    )


def target_of(pid: int, kind: str) -> Target:
    """/proc's description of a process."""
    uids, gids = user_namespaces.ids(pid) or ((0, 0, 0), (0, 0, 0))
    try:
        cwd = os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        cwd = "?"
    name = procfs.comm(pid)
    return Target(kind, name, procfs.arguments(pid) or (name,), cwd, f"{uids[1]}:{gids[1]}")


_LARGEST = 1 << 20
"""The most bytes of a file with users or groups."""


def configured_user(container: Container) -> str | None:
    """``uid:gid`` inside the container; None if a name has no entry there."""
    user, _, group = container.user.partition(":")
    if not user:
        return "0:0"
    uid, gid = (user, "0") if user.isdecimal() else _entry(container, "passwd", user)
    if group:
        gid = group if group.isdecimal() else _entry(container, "group", group)[0]
    return f"{uid}:{gid}" if uid and gid else None


def _entry(container: Container, kind: str, name: str) -> tuple[str, str]:
    """The number of a user or group, and the group of a user; empty if there is none."""
    path = Path(f"/proc/{container.pid}/root/etc/{kind}")
    try:
        with path.open(errors="replace") as file:
            text = file.read(_LARGEST)
    except OSError:
        return "", ""
    return entry_of(text, name)


def entry_of(text: str, name: str) -> tuple[str, str]:
    """The third and the fourth field of a line of passwd(5) or group(5)."""
    for line in text.splitlines():
        fields = line.split(":")
        if fields[0] == name and len(fields) > 3 and fields[2].isdecimal():
            return fields[2], fields[3]
    return "", ""


def is_unit(what: str) -> bool:
    """True if the name is a unit's; containers have no such names, as a rule."""
    return what.endswith((*RECORDED, *ACTIVATORS))


def running_unit(what: str, *, restart: bool = False) -> Running:
    """``restart``: the unit is restarted once it is watched. Raises BadInput if there is none, or
    nothing of it runs, or it must not be restarted."""
    unit = manager.known(service_for(unit_name(what)))
    require_own_processes(unit)
    if restart:
        require_restartable(unit)
    keeper = manager.pid()
    first = _first(unit, first_process(unit))
    order = restart_of(unit.name)
    target = replace(target_of(first, "unit"), name=unit.short_name, argv=order.argv)
    return Running(first, target, shim=keeper, unit=unit, restart=restart)


def main_process(what: str) -> int:
    """The main process of a unit. Raises BadInput if there is none."""
    unit = manager.known(service_for(unit_name(what)))
    try:
        return _first(unit, first_process(unit))
    except CannotObserve:  # only root may ask for the manager's pid
        return _first(unit, unit.main)


def _first(unit: ServiceUnit, first: int) -> int:
    if first:
        return first
    raise refused("down", name=unit.name, state=unit.active, short=unit.short_name)
