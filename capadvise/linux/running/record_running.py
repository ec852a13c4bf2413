"""Watching what runs already: nothing of it is started, stopped, or sent a signal.

All its threads are followed, and all that they will fork. Of a container, so is the shim, which
starts whatever is executed inside later (``docker exec``); for podman see ``arrivals``. What comes
into the container on yet another way is found in /proc, a moment later.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from capadvise.caps import Cap, CapSet
from capadvise.catalog import default
from capadvise.errors import BadInput, CannotObserve
from capadvise.linux.engines.cli.cgroup_path import parse_place
from capadvise.linux.engines.image.ownership import changed_files
from capadvise.linux.engines.record.container_starts import healthcheck_command, is_command
from capadvise.linux.engines.shims import CONMON, is_runtime
from capadvise.linux.ftrace.instances import Buffers
from capadvise.linux.kernel import own_caps, procfs
from capadvise.linux.kernel.uapi import CLONE_NEWNS
from capadvise.linux.posture.read import Machine, posture_of
from capadvise.linux.running import namespace_addresses
from capadvise.linux.running.exec_watcher import Arrivals
from capadvise.linux.running.target import Running
from capadvise.linux.supervise.command import Command
from capadvise.linux.supervise.event_loop import Watch
from capadvise.linux.supervise.observation import Observation
from capadvise.linux.supervise.session import Session, everything, session
from capadvise.linux.tracking.tasks import Scope, Task
from capadvise.linux.tracking.tracker import Tracker
from capadvise.posture import Posture
from capadvise.recording import Held, Phase, Recording
from capadvise.workload import Workload

_KERNEL_NAMES = {"umount2": "umount", "clock_settime64": "clock_settime"}
"""Where the kernel's name for a call is another one than that of the profiles."""
_MISSED = "of {} programs executed in it meanwhile the start, or all, was not seen"
_ITSELF = ("/proc/self/", "/dev/fd/")
"""How a runtime executes itself again, from the sealed copy."""


class Entering:
    """Whatever enters the container while it is watched belongs to it from its next exec on, as
    ``docker exec`` makes it. See ``tasks.Starts``."""

    def __init__(self, running: Running, scope: Scope) -> None:
        self.running, self.scope = running, scope
        self.entered = 0
        """How many programs were begun in it."""
        known = running.description
        self._healthcheck = healthcheck_command(known.healthcheck) if known else ()

    def called(self, pid: int, task: Task, call: str, values: Sequence[int]) -> None:
        """The runtime joins the container's mounts: it will execute a program there."""
        if call == "setns" and values[1] & CLONE_NEWNS:
            task.inside = True

    def executed(self, time: int, pid: int, task: Task, path: str) -> None:
        """The program, which may have ended since."""
        if task.inside and not path.startswith(_ITSELF) and not self._is_elsewhere(pid):
            task.scope, task.since = self.scope, time
            self.entered += 1
            if is_command(self._healthcheck, pid, path):
                task.phase = Phase.HEALTHCHECK

    def unknown(self, pid: int) -> Scope | None:
        """What is watched was adopted; another thread is the shim's."""
        return None

    def _is_elsewhere(self, pid: int) -> bool:
        """The shim of a pod keeps several containers."""
        place = parse_place(procfs.cgroup(pid))
        return place is not None and place.container != self.running.target.container


class Attaching(Watch):
    """The time in which it is watched."""

    def __init__(
        self, command: Command, ready: Session, running: Running, opened_by: Mapping[str, Cap]
    ) -> None:
        assert ready.symbols is not None
        assert isinstance(ready.buffers, Buffers)
        self.running, self._since = running, procfs.start_time(running.pid)
        self.traced = ready.buffers
        self.target_scope = Scope(0, running.pid, self.traced.now())
        self.starts = Entering(running, self.target_scope)
        self.threads = Tracker(
            *(self.traced.types, ready.symbols, self.starts, running.pid, 0, 0), opened_by=opened_by
        )
        super().__init__(command, ready.guardian, ready.signals, self.traced, self.threads)
        self._seen: set[int] = set()

    def adopt(self) -> None:
        """Take over what is followed from the beginning."""
        for pid in self.running.processes():
            for thread in procfs.threads(pid):
                self.threads.adopt(thread, self.target_scope)
        for thread in procfs.threads(self.running.shim) if self.running.shim else ():
            self.threads.adopt(thread, None)
        self._seen = set(procfs.processes())

    @property
    def kind(self) -> str:
        """What runs is not run again."""
        return self.command.kind or "daemon"

    def _hear(self) -> None:
        self.guardian.hear()
        if self.running.target.kind == "container":
            self._newcomers()
        self.empty |= not self._lives()

    def _newcomers(self) -> None:
        """Follow what has come into the container, and was started by none that is followed."""
        now = set(procfs.processes())
        new = [pid for pid in now - self._seen if self.running.has(pid)]
        self._seen = now
        for pid in new:
            if not self.threads.knows(pid):
                self.traced.follow(procfs.threads(pid))
            scope = None if _is_runtime(pid) else self.target_scope
            self.traced.drain(self.threads)  # if it was followed, its exec is known now
            for thread in procfs.threads(pid):
                self.threads.enter(thread, scope)

    def _lives(self) -> bool:
        if procfs.lives(self.running.pid, self._since):
            return True
        return any(
            procfs.state(pid) not in ("", "Z", "X")
            for pid in self.threads.belonging(self.target_scope)
        )

    def _signals(self) -> None:
        """Whatever we are sent ends the recording: the target goes on."""
        self.empty |= any(True for _ in self.signals.received())

    def stop(self) -> None:
        """End the recording."""
        self.empty = True

    def _guardian_is_gone(self) -> None:
        self.interrupted = True

    def _pids(self) -> list[int]:
        return self.running.processes()


def attach(
    running: Running,
    command: Command,
    *,
    meanwhile: Callable[[], object] = lambda: None,
    begun: Callable[[int], object] = lambda processes: None,
) -> Observation:
    """Watch until the target ends, the time is up, the check passes, or a signal comes.

    Of ``command``, only what concerns the check and the time is used. ``begun`` is told how many
    processes are watched, once they are. Raises CannotObserve, or BadInput when it is gone.
    """
    try:
        held = _held(running)
        posture = posture_of(running.pid, Machine.read())
        opened_by = _opened_by(running, posture, everything() - held.permitted)
        with (
            namespace_addresses.held_open(running.pid) as namespaces,
            session(
                None,
                missing=everything() - held.permitted,
                closable=opened_by,
                arrivals=CONMON if running.target.engine in ("podman", "cri") else "",
                also=lambda: _threads(running),
                meanwhile=meanwhile,
            ) as ready,
        ):
            run = Attaching(command, ready, running, opened_by)
            run.adopt()
            _tell_namespaces(run, namespaces)
            own_caps.keep()
            arrivals = Arrivals(run.traced, running.is_entered_by)
            try:
                begun(len(running.processes()))
                run.until_end()
            finally:
                arrivals.stop()
    except ProcessLookupError as error:
        raise BadInput(f"process {running.pid} has ended") from error
    except FileNotFoundError as error:
        if os.path.exists(f"/proc/{running.pid}"):
            raise
        raise BadInput(f"process {running.pid} has ended") from error
    return Observation(
        recordings=(_recording(run, held, posture),),
        target=running.target,
        workload=Workload(run.kind, check=command.check),
        posture=posture,
        check_passed=run.check_passed,
        check_said=run.checker.said if run.checker else "",
        credentials=run.credentials,
    )


def _is_runtime(pid: int) -> bool:
    """Whether a process is still the runtime that is about to become another program; some seal a
    copy of themselves in memory."""
    try:
        program = os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return True
    return is_runtime(PurePosixPath(program).name) or program.startswith("/memfd:")


def _threads(running: Running) -> list[int]:
    shim = [running.shim] if running.shim else []
    return [thread for pid in (*running.processes(), *shim) for thread in procfs.threads(pid)]


def _tell_namespaces(run: Attaching, namespaces: list[int]) -> None:
    """Its own user namespace and those above it, where it is not the initial one."""
    if namespaces:
        own, *above = namespace_addresses.addresses(namespaces, run.traced, run.threads)
        if not own:
            raise CannotObserve(
                f"{run.running.target.name} is in a user namespace that cannot be entered, so that "
                "checks against it cannot be told from others",
                hint="run capadvise in the initial user namespace, as root",
            )
        run.target_scope.namespace = own
        run.target_scope.above = frozenset(above)


def _opened_by(running: Running, posture: Posture, missing: CapSet) -> dict[str, Cap]:
    """What a container's default seccomp filter would let through with another capability: call →
    that which the catalog prefers."""
    if posture.seccomp is None or posture.seccomp.mode != "filter" or not running.target.engine:
        return {}
    profiles = default().seccomp
    opens = profiles.get(running.target.engine, profiles["docker"]).opens
    rank = {cap: number for number, cap in enumerate(default().preference)}
    found: dict[str, Cap] = {}
    for cap in sorted(missing & set(opens), key=lambda cap: (-rank.get(cap, len(rank)), -cap)):
        found |= {_KERNEL_NAMES.get(call, call): cap for call in opens[cap]}
    return found


def _held(running: Running) -> Held:
    """What it could have: as root it gets with an exec what the bounding set has."""
    sets = procfs.capability_sets(running.pid)
    root = running.target.user.partition(":")[0] == "0"
    return Held(sets.bounding, sets.bounding if root else sets.permitted, sets.ambient)


def _recording(run: Attaching, held: Held, posture: Posture) -> Recording:
    passed = run.check_passed if run.checker else None
    recording = run.recording(run.target_scope, held, None, mac=posture.mac)
    known = run.running.description
    files = changed_files(known, known.pid) if known else ()
    return replace(recording, succeeded=passed, attached=True, image_files=files)
