"""The start of a container, seen in the kernel's own events below the engine.

The runtime's thread that changes its root (``pivot_root``) becomes the container with its next
exec: everything before belongs to the runtime. A thread that joins a mount namespace (``setns``)
will exec a command inside, as ``docker exec`` and health checks do. Both descend from a process
that keeps just one container and names it in its command line: containerd's shim, or conmon.
Containers are therefore distinguished by their process trees, however many start at once. Tried
with runc and crun.
"""

import re
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
from capadvise.targets.shims import container_id, is_shim

_ID = re.compile("[0-9a-f]{64}")
INITS = ("docker-init", "podman-init", "catatonit")
"""The programs that ``--init`` starts first. podman mounts its one as /run/podman-init."""


@dataclass(slots=True)
class StartedContainer:
    """The container that one shim or conmon keeps."""

    runtime: int
    """Its pid."""
    id: str | None
    root: int = 0
    """The first process of the container."""
    scope: Scope | None = None
    sets: Sets | None = None
    """The sets of the first process at its exec; None if it was gone too soon."""
    posture: Posture | None = None
    init: Task | None = None
    """The init that ``--init`` puts before the container's own program."""
    user: tuple[int, int] = (0, 0)
    """uid and gid at its exec, as they are called inside."""


class ContainerStarts:
    """Says which threads are a container's. See ``tasks.Starts``."""

    def __init__(self) -> None:
        self.places: dict[int, StartedContainer] = {}
        """By the pid of the shim or conmon."""
        self.checked_by: dict[str, tuple[str, ...]] = {}
        """Container id → the command of its healthcheck."""
        self.container_of: Callable[[int], str | None] = lambda pid: None
        """Returns the container of a shim, if a probe read its command line at the exec."""
        self._machine = Machine.read()
        self._begun = 0
        self._ids: dict[int, str] = {}

    def sighted(self, pid: int, path: str) -> None:
        """Note the container of a shim that was just exec'd, while the shim lives."""
        if is_shim(PurePosixPath(path).name) and (own_id := container_id(procfs.arguments(pid))):
            self._ids[pid] = own_id

    def called(self, pid: int, task: Task, call: str, values: Sequence[int]) -> None:
        """The runtime enters a root: a new one, or that of another container."""
        if not task.runtime:
            return
        if call in ("pivot_root", "chroot"):
            task.pivoted = pid
            self._look(
                self.places[task.runtime], pid
            )  # a short program is gone before its exec is reported
        elif call == "setns" and values[1] & CLONE_NEWNS:
            task.inside = True

    def executed(self, time: int, pid: int, task: Task, path: str) -> None:
        """A shim, a container's first program, or a command inside."""
        name = PurePosixPath(path).name
        if not task.runtime or not (task.inside or task.pivoted):
            if is_shim(name):
                task.runtime = pid
                self.places[pid] = StartedContainer(
                    pid, self._ids.pop(pid, None) or self.container_of(pid)
                )
            return
        place = self.places[task.runtime]
        if task.pivoted == pid:
            place.root = pid
            task.pivoted, task.inside = 0, True
            if name in INITS:
                place.init = task
                return  # the container begins with what it starts
        elif not task.inside:
            return  # a hook of the runtime
        if place.scope is None:
            self._begun += 1
            place.scope = Scope(self._begun, place.root or pid, time, task.namespace)
            place.user = task.uids.effective, task.gids.effective
            self._look(place, pid)
            if place.init is not None:  # it passes signals on, with the container's capabilities
                place.init.scope, place.init.since = place.scope, time
            with suppress(OSError):
                place.sets = procfs.capability_sets(pid)
        elif is_command(self.checked_by.get(place.id or "", ()), pid, path):
            task.phase = Phase.HEALTHCHECK
        task.scope, task.since = place.scope, time

    def add_begun(self, runtime: int, container: str, root: int) -> None:
        """Add a container that has begun, in a run that is not traced."""
        self._begun += 1
        scope = Scope(self._begun, root, 0)
        self.places[runtime] = StartedContainer(runtime, container, root, scope)

    def unknown(self, pid: int) -> Scope | None:
        """The scope by the control group, if a fork was lost."""
        begun = [place for place in self.places.values() if place.scope and place.id]
        if not begun:
            return None
        text = procfs.cgroup(pid)
        return next((p.scope for p in begun if p.id and p.id in text), None)

    def _look(self, place: StartedContainer, pid: int) -> None:
        if place.id is None:  # conmon forks and ends at once: it may have been gone
            match = _ID.search(procfs.cgroup(pid))
            place.id = match[0] if match else _id_from_shim(pid)
        with suppress(OSError):
            place.posture = posture_of(pid, self._machine)


def _id_from_shim(pid: int) -> str | None:
    """The id in the command line of a shim: a rootless podman may have no control groups."""
    for _ in range(4):  # the runtime may stand between
        pid = procfs.parent(pid)
        if is_shim(procfs.comm(pid)):
            return container_id(procfs.arguments(pid))
    return None


def is_command(command: Sequence[str], pid: int, path: str) -> bool:
    """True if a process that has just executed ``path`` was started as this command, judging by its
    arguments, or by its program if it is gone already."""
    if not command:
        return False
    arguments = procfs.arguments(pid)
    if arguments:
        return arguments == tuple(command)
    return PurePosixPath(command[0]).name == PurePosixPath(path).name


def healthcheck_command(test: Sequence[str]) -> tuple[str, ...]:
    """The command that the engine executes for ``CMD`` and ``CMD-SHELL``."""
    if not test:
        return ()
    return ("/bin/sh", "-c", *test[1:]) if test[0] == "CMD-SHELL" else tuple(test[1:])
