"""What is attached to: a process or a container that was there before."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import PurePosixPath

from capadvise.kernel import procfs
from capadvise.model.clone_flags import CLONE_NEWNS
from capadvise.model.recording import Phase
from capadvise.observe.ftrace.instances import Buffers
from capadvise.observe.supervise.decisions import Happening, SupervisorLost
from capadvise.observe.supervise.guardian_client import GuardianProcess
from capadvise.observe.supervise.session import Trace
from capadvise.observe.tracking.tasks import Scope, Task
from capadvise.observe.tracking.tracker import Tracker
from capadvise.targets.client.cgroup_path import parse_place
from capadvise.targets.containers.container_starts import healthcheck_command, is_command
from capadvise.targets.running.newcomers import Newcomers
from capadvise.targets.running.not_ours import NotOurs
from capadvise.targets.running.restarts import Restarts, container_again, unit_again
from capadvise.targets.running.target import Running
from capadvise.targets.shims import is_runtime

_ITSELF = ("/proc/self/", "/dev/fd/")
"""How a runtime executes itself again, from the sealed copy."""

_EXECUTOR = "/systemd-executor"
"""It prepares what a unit says, and executes a command of it."""


class Entering:
    """Whatever enters the container while it is recorded belongs to it from its next exec on, as
    ``docker exec`` makes it. See ``tasks.Starts``."""

    def __init__(self, running: Running, scope: Scope, buffers: Buffers) -> None:
        self.running, self.scope, self._buffers = running, scope, buffers
        known = running.description
        self._healthcheck = healthcheck_command(known.healthcheck) if known else ()

    def called(self, pid: int, task: Task, call: str, values: Sequence[int]) -> None:
        """The runtime joins the container's mounts: it will execute a program there."""
        if call == "setns" and values[1] & CLONE_NEWNS:
            task.inside = True

    def executed(self, time: int, pid: int, task: Task, path: str) -> None:
        """The program, which may have ended since."""
        if path.startswith(_ITSELF):
            return
        if (task.inside and not self._is_elsewhere(pid)) or self.running.has(pid):
            task.scope, task.since = self.scope, time
            if is_command(self._healthcheck, pid, path):
                task.phase = Phase.HEALTHCHECK
        elif self._is_of_another(pid, path):
            self._buffers.ignore(pid)  # it costs that container, too

    def unknown(self, pid: int) -> Scope | None:
        """What is watched was adopted; another thread is the shim's."""
        return None

    def _is_of_another(self, pid: int, path: str) -> bool:
        """The daemon, which is followed for this container's next start, starts others."""
        words = procfs.arguments(pid) if is_runtime(PurePosixPath(path).name) else ()
        return bool(words) and self.running.target.container not in words

    def _is_elsewhere(self, pid: int) -> bool:
        """The shim of a pod keeps several containers."""
        place = parse_place(procfs.cgroup(pid))
        return place is not None and place.container != self.running.target.container


class RunningSubject(NotOurs):
    """What is attached to: it goes on when the recording ends. See ``event_loop.Subject``."""

    begun = True

    def __init__(
        self, running: Running, scope: Scope, guardian: GuardianProcess, trace: Trace, own: Tracker
    ) -> None:
        """``own``: the tracker of its threads."""
        self._running, self._since = running, procfs.start_time(running.pid)
        self._scope, self._guardian = scope, guardian
        self._buffers, self._tracker = trace.buffers, own
        self._newcomers = Newcomers()
        self._restarts = _restarts(running)
        self.fds = (guardian.report,)

    def adopt(self) -> None:
        """Take over what is followed from the beginning."""
        for pid in self._running.processes():
            for thread in procfs.threads(pid):
                self._tracker.adopt(thread, self._scope)
        for thread in procfs.threads(self._running.shim) if self._running.shim else ():
            self._tracker.adopt(thread, None)
        self._newcomers.look()

    def update(self) -> list[Happening]:
        """Follow newcomers; see whether it is still there."""
        self._guardian.read()
        if self._running.target.kind in ("container", "unit"):
            self._follow_newcomers()
        self.ended |= not self._lives() and not self._comes_again()
        if self._guardian.ended and not self.ended:
            self.ended = True
            return [SupervisorLost()]
        return []

    def _follow_newcomers(self) -> None:
        """Follow what has come into the container, and was started by none that is followed."""
        for pid in filter(self._running.has, self._newcomers.look()):
            if not self._tracker.knows(pid):
                self._buffers.follow(procfs.threads(pid))
            scope = None if _is_runtime(pid) else self._scope
            self._buffers.drain(self._tracker)  # if it was followed, its exec is known now
            for thread in procfs.threads(pid):
                self._tracker.enter(thread, scope)

    def _comes_again(self) -> bool:
        """The container or the unit is the same, with another first process."""
        if self._restarts is None:
            return False
        if pid := self._restarts.look():
            own = procfs.namespace(pid, "pid")
            self._running = replace(self._running, pid=pid, pid_namespace=own)
            self._since = procfs.start_time(pid)
        return not self._restarts.over

    def _lives(self) -> bool:
        if procfs.lives(self._running.pid, self._since):
            return True
        return any(
            procfs.state(pid) not in ("", "Z", "X") for pid in self._tracker.belonging(self._scope)
        )

    def pids(self) -> list[int]:
        """All that belongs to it now."""
        return self._running.processes()

    def check_environment(self) -> dict[str, str]:
        """``PID``, and ``CONTAINER`` or ``UNIT``, as where it was started here."""
        container, unit = self._running.target.container, self._running.unit
        told = {"PID": str(self._running.pid)}
        told |= {"CONTAINER": container} if container else {}
        return told | ({"UNIT": unit.name} if unit else {})


def _restarts(running: Running) -> Restarts | None:
    known, unit = running.description, running.unit
    if known is not None:
        return Restarts(partial(container_again, known.engine, known.id))
    return None if unit is None else Restarts(partial(unit_again, unit.name))


def _is_runtime(pid: int) -> bool:
    """Whether a process is still the runtime that is about to become another program; some seal a
    copy of themselves in memory."""
    try:
        program = os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return True
    if program.endswith((_EXECUTOR, "/systemd")):
        return True
    return is_runtime(PurePosixPath(program).name) or program.startswith("/memfd:")
