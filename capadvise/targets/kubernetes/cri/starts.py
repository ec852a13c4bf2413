"""The starts of containers of pods, and commands that are executed in them, seen in the kernel's
own events.

A shim keeps several containers, so it does not tell which one begins. Each runtime that it starts
(``runc create … ID``, ``runc exec … ID``) has the container in its arguments: they are read as soon
as the start is reported, and the runtime lives until the container is made. Its children belong to
that container: from the exec after ``pivot_root`` on, or, for a command that is executed inside,
from the exec after ``setns``.
"""

import os
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath

from capadvise.kernel import procfs
from capadvise.kernel.posture.read import Machine, posture_of
from capadvise.model.caps import Sets
from capadvise.model.clone_flags import CLONE_NEWNS
from capadvise.model.posture import Posture
from capadvise.model.recording import Phase
from capadvise.observe.tracking.tasks import Scope, Task
from capadvise.targets.client.cgroup_path import parse_place
from capadvise.targets.kubernetes.cri import node
from capadvise.targets.kubernetes.cri.bundle import ID, CriContainer
from capadvise.targets.shims import is_runtime, is_shim, word_after

_ORDERS = 4096
"""The number of runtimes that are remembered."""
_NOTHING = os.makedev(1, 3)
"""``/dev/null``."""


@dataclass(slots=True)
class PodStart:
    """One start of a container. It is never started again: a restart makes another one."""

    container: CriContainer
    root: int
    """Its first process."""
    scope: Scope
    attached: bool
    """It ran before it was followed."""
    posture: Posture | None = None
    sets: Sets | None = None
    """The sets of the first process at its exec; None if it was gone too soon."""


@dataclass(frozen=True, slots=True)
class _Order:
    """A runtime's arguments."""

    container: str
    probe: bool
    """It executes a command without input, as kubelets do for probes and hooks."""
    foreign: bool = False
    """The container is not wanted."""


class PodStarts:
    """Says which threads are whose. See ``tasks.Starts``."""

    def __init__(
        self, wanted: Callable[[CriContainer], bool], ignore: Callable[[int], object]
    ) -> None:
        """``wanted``: whether to record a container. ``ignore`` receives a runtime that makes
        another one, which would pay for being followed."""
        self._wanted, self._ignore = wanted, ignore
        self.starts: dict[str, PodStart] = {}
        """By the id of the container, in the order in which they began."""
        self.sandboxes: dict[int, int] = {}
        """The processes that hold the namespaces of pods that are of interest: pid → start time."""
        self.unread = 0
        """The number of containers that were gone before anything could tell which they are."""
        self._orders: dict[int, _Order] = {}
        self._created: dict[str, CriContainer] = {}
        self._looks: dict[str, Posture] = {}
        self._machine = Machine.read()

    def knows(self, container: str) -> bool:
        """True if it runs already, or is about to begin."""
        return container in self.starts or container in self._created

    def adopt(self, kept: node.KeptContainer, now: int) -> PodStart:
        """A container that runs already."""
        start = self._begin(kept.container, kept.pid, now, 0, attached=True)
        self._look(start)
        return start

    def holds(self, pid: int) -> None:
        """Note a process that holds the namespaces of a wanted pod."""
        with suppress(OSError):
            self.sandboxes[pid] = procfs.start_time(pid)

    def sighted(self, pid: int, path: str) -> None:
        """A program was exec'd just now, in whatever tree."""
        name = PurePosixPath(path).name
        if is_runtime(name) and not is_shim(name) and node.is_roots(pid):
            self._read(pid, procfs.arguments(pid))

    def _read(self, pid: int, words: Sequence[str]) -> None:
        verb = next((word for word in words[1:] if word in ("create", "run", "exec")), None)
        if verb is None or not ID.fullmatch(container := words[-1]):
            return
        if len(self._orders) >= _ORDERS:
            self._orders.clear()
        probe = verb == "exec" and _has_no_input(pid)
        folder = word_after(words, "--bundle", "-b")
        made = node.read(pid, folder) if folder is not None else None
        if made is not None:
            self._note(container, made)
        foreign = (made is not None or verb == "exec") and not self.knows(container)
        self._orders[pid] = _Order(container, probe, foreign)

    def _note(self, container: str, made: CriContainer) -> None:
        if self._wanted(made):
            self._created[container] = made

    def called(self, pid: int, task: Task, call: str, values: Sequence[int]) -> None:
        """The runtime enters a root: a new one, or that of another container."""
        if not task.runtime:
            return
        if call in ("pivot_root", "chroot"):
            task.pivoted = pid
            self._identify(pid, task)
        elif call == "setns" and values[1] & CLONE_NEWNS:
            task.inside = True

    def _identify(self, pid: int, task: Task) -> None:
        """Note which container begins: a short program is gone before its exec is reported."""
        if (
            task.runtime not in self._orders
        ):  # the runtime was gone before its arguments could be read
            group = procfs.cgroup(pid)
            self.unread += not group
            if (place := parse_place(group)) is None:
                return
            self._orders[task.runtime] = _Order(place.container, probe=False)
            if (made := node.created(place.container)) is not None:
                self._note(place.container, made)
        container = self._orders[task.runtime].container
        if container in self._created:
            with suppress(OSError):
                self._looks[container] = posture_of(pid, self._machine)

    def executed(self, time: int, pid: int, task: Task, path: str) -> None:
        """A runtime, a container's first program, or a command inside."""
        if not task.inside and task.pivoted != pid:
            name = PurePosixPath(path).name
            order = self._orders.get(pid)
            if order is not None and order.foreign:
                self._ignore(pid)
            elif order is not None or (is_runtime(name) and not is_shim(name)):
                task.runtime = pid
            return
        order = self._orders.get(task.runtime)
        if task.pivoted == pid:
            task.pivoted, task.inside = 0, True
            self._started(time, pid, task, order)
        start = self.starts.get(order.container if order else _container_of(pid))
        if start is None:
            return
        task.scope, task.since = start.scope, time
        if order is not None and order.probe:
            task.phase = Phase.HEALTHCHECK

    def _started(self, time: int, pid: int, task: Task, order: _Order | None) -> None:
        container = self._created.get(order.container) if order else None
        if container is None or container.id in self.starts:
            return
        if not container.name:
            self.holds(pid)
            return
        start = self._begin(container, pid, time, task.namespace, attached=False)
        start.posture = self._looks.pop(container.id, None)
        self._look(start)

    def _begin(
        self, container: CriContainer, pid: int, time: int, namespace: int, *, attached: bool
    ) -> PodStart:
        scope = Scope(len(self.starts) + 1, pid, time, namespace)
        start = self.starts[container.id] = PodStart(container, pid, scope, attached)
        return start

    def _look(self, start: PodStart) -> None:
        with suppress(OSError):
            start.posture = posture_of(start.root, self._machine)
            start.sets = procfs.capability_sets(start.root)

    def unknown(self, pid: int) -> Scope | None:
        """The scope by the control group, if a fork is lost or late. A runtime is in the group,
        too."""
        start = self.starts.get(_container_of(pid)) if self.starts else None
        return start.scope if start and not is_runtime(procfs.comm(pid)) else None


def _container_of(pid: int) -> str:
    place = parse_place(procfs.cgroup(pid))
    return place.container if place else ""


def _has_no_input(pid: int) -> bool:
    try:
        standard_input = os.stat(f"/proc/{pid}/fd/0")
    except OSError:
        return False
    return stat.S_ISCHR(standard_input.st_mode) and standard_input.st_rdev == _NOTHING
