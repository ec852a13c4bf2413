"""Recording what runs already: nothing of it is started, stopped, or sent a signal.

All its threads are followed, and all that they will fork. For a container, its shim is followed
too, which starts whatever is executed inside later (``docker exec``), and docker's daemon, which
starts another shim with the container's next start; for podman see ``attaching.ExecWatcher``.
Processes that enter the container in another way are found in /proc, a moment later.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath

from capadvise.kernel import own_caps, procfs
from capadvise.kernel.background import Background
from capadvise.kernel.posture.read import Machine, posture_of
from capadvise.model.caps import Cap, CapSet
from capadvise.model.clone_flags import CLONE_NEWNS
from capadvise.model.errors import BadInput, CannotObserve
from capadvise.model.posture import Posture
from capadvise.model.recording import Held, Phase, Recording
from capadvise.observe.audit.live import AuditListener
from capadvise.observe.ftrace.instances import Buffers
from capadvise.observe.supervise.command import Command
from capadvise.observe.supervise.decisions import Happening, Limits, Moment
from capadvise.observe.supervise.event_loop import EventLoop, Onlooker, TargetSoFar
from capadvise.observe.supervise.guardian_client import GuardianProcess
from capadvise.observe.supervise.observation import Observation
from capadvise.observe.supervise.session import Session, Trace, Tracing, everything, session
from capadvise.observe.supervise.sources import Sources
from capadvise.observe.tracking.tasks import Scope, Task
from capadvise.observe.tracking.tracker import Tracker
from capadvise.targets.attaching import (
    AttachedSubject,
    ExecWatcher,
    PeriodicSave,
    each_round,
    held_by,
    hold_namespaces,
    note_namespaces,
    opened_by,
)
from capadvise.targets.client.cgroup_path import parse_place
from capadvise.targets.client.client import EngineError
from capadvise.targets.containers import registry
from capadvise.targets.containers.container_starts import healthcheck_command, is_command
from capadvise.targets.image.ownership import changed_files
from capadvise.targets.running.target import Running
from capadvise.targets.shims import CONMON, is_runtime
from capadvise.targets.systemd import manager
from capadvise.targets.systemd.unit_starts import UnitStarts, first_process

_RESTART_SECONDS = 3.0
"""Seconds between a stop and the next start, if nothing announces one."""
_ASK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class NextStart:
    """The state of a container or unit that may be started again."""

    pid: int
    """The pid of its first process; 0: none."""
    coming: bool
    """It is being started, or will be."""


class Restarts:
    """Asks for the next start, without delaying the reader of the trace buffers."""

    def __init__(self, ask: Callable[[], NextStart | None]) -> None:
        """``ask`` returns None if the target was removed."""
        self._ask = ask
        self._since: float | None = None
        self._next = 0.0
        self._asked: Background[NextStart | None] | None = None

    def look(self) -> int:
        """Its first process, once it runs again; else 0."""
        now = time.monotonic()
        self._since = self._since or now
        if self._asked is None and now >= self._next:
            self._asked = Background(self._ask)
        if self._asked is None or not self._asked.ended:
            return 0
        known, self._asked = self._asked.result(), None
        self._next = now + _ASK_SECONDS
        if known is not None and known.coming:
            self._since = now
        if known is None:  # it was removed
            self._since = now - 2 * _RESTART_SECONDS
        if known is None or not known.pid:
            return 0
        self._since = None
        return known.pid

    @property
    def over(self) -> bool:
        """True if it does not come again."""
        return self._since is not None and time.monotonic() - self._since > _RESTART_SECONDS


def container_state(engine: str, container: str) -> NextStart | None:
    """The engine's answer for a container."""
    for client in registry.clients(engine):
        with suppress(EngineError, BadInput):
            if (known := client.find(container)) is None:
                return None
            return NextStart(known.pid, known.restarting)
    return None


def unit_state(name: str) -> NextStart | None:
    """The manager's answer for a unit; a manager that does not answer is busy."""
    try:
        unit = manager.show(name)
    except CannotObserve:
        return NextStart(0, coming=True)
    return NextStart(first_process(unit) if unit.runs else 0, coming=unit.runs)


_LISTED = 1.0
"""Seconds after which a process that has its number is listed, on a machine that is busy."""
_ALWAYS = 5.0
"""Seconds after which all are listed in any case: clone3(2) can choose a number (CRIU)."""


def newest(proc: Path = procfs.PROC) -> int | None:
    """The last number that a process or thread got, a moment before it is listed, or None."""
    try:
        return int((proc / "loadavg").read_text().split()[4])
    except (OSError, ValueError, IndexError):
        return None


class Newcomers:
    """The processes that have begun since the last look. Their list is long on a large machine: it
    is read only every few seconds while no new number is given away."""

    def __init__(self) -> None:
        self._known: set[int] = set()
        self._newest: int | None = None
        self._until = self._again = 0.0

    def look(self) -> set[int]:
        """The new processes; the first time, all."""
        last, now = newest(), time.monotonic()
        if last is None or last != self._newest:
            self._newest, self._until = last, now + _LISTED
        elif self._until < now < self._again:
            return set()
        self._again = now + _ALWAYS
        before, self._known = self._known, set(procfs.processes())
        return self._known - before


_ITSELF = ("/proc/self/", "/dev/fd/")
"""How a runtime executes itself again, from the sealed copy."""

_EXECUTOR = "/systemd-executor"
"""It prepares what a unit says, and executes a command of it."""


class EntryStarts:
    """Assigns whatever enters the container during the recording to it, from its next exec on, as
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
        """None: watched threads were adopted, and other threads are the shim's."""
        return None

    def _is_of_another(self, pid: int, path: str) -> bool:
        """The daemon, which is followed for this container's next start, starts others."""
        words = procfs.arguments(pid) if is_runtime(PurePosixPath(path).name) else ()
        return bool(words) and self.running.target.container not in words

    def _is_elsewhere(self, pid: int) -> bool:
        """The shim of a pod keeps several containers."""
        place = parse_place(procfs.cgroup(pid))
        return place is not None and place.container != self.running.target.container


class RunningSubject(AttachedSubject):
    """An attached process, container or unit: it goes on when the recording ends."""

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
        """Follow newcomers; see whether the target is still there."""
        self._guardian.read()
        if self._running.target.kind in ("container", "unit"):
            self._follow_newcomers()
        self.ended |= not self._lives() and not self._comes_again()
        if self._guardian.ended and not self.ended:
            self.ended = True
            return [Moment.SUPERVISOR_LOST]
        return []

    def _follow_newcomers(self) -> None:
        """Follow processes in the container that no followed process started."""
        for pid in filter(self._running.has, self._newcomers.look()):
            if not self._tracker.knows(pid):
                self._buffers.follow(procfs.threads(pid))
            scope = None if _is_runtime(pid) else self._scope
            self._buffers.drain(self._tracker)  # if it was followed, its exec is known now
            for thread in procfs.threads(pid):
                self._tracker.enter(thread, scope)

    def _comes_again(self) -> bool:
        """True if the container or unit has another first process, or may get one."""
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
        """``PID``, and ``CONTAINER`` or ``UNIT``."""
        container, unit = self._running.target.container, self._running.unit
        variables = {"PID": str(self._running.pid)}
        variables |= {"CONTAINER": container} if container else {}
        return variables | ({"UNIT": unit.name} if unit else {})


def _restarts(running: Running) -> Restarts | None:
    known, unit = running.description, running.unit
    if known is not None:
        return Restarts(partial(container_state, known.engine, known.id))
    return None if unit is None else Restarts(partial(unit_state, unit.name))


def _is_runtime(pid: int) -> bool:
    """True if a process is still the runtime, perhaps a copy of itself in memory."""
    try:
        program = os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return True
    if program.endswith((_EXECUTOR, "/systemd")):
        return True
    return is_runtime(PurePosixPath(program).name) or program.startswith("/memfd:")


_WATCHED = {"podman": CONMON, "cri": CONMON}
"""By engine, the program that starts what enters a container, if nobody followed does."""


def attach(
    running: Running,
    command: Command,
    *,
    meanwhile: Callable[[], object] = lambda: None,
    begun: Callable[[int], object] = lambda processes: None,
    onlooker: Onlooker | None = None,
    save: Callable[[Observation], object] = lambda observation: None,
) -> Observation:
    """Record until the target ends, the time is up, the check passes, or a signal comes.

    Only the check and the time of ``command`` are used. ``begun`` receives the number of processes
    once they are recorded. ``onlooker`` is called between two rounds of reading, and ``save`` now
    and then with the observation so far. Raises CannotObserve, or BadInput if the target is gone.
    """
    with _its_end_is_an_error(running):
        sets = procfs.capability_sets(running.pid)
        held = held_by(running.target.user, sets.bounding, sets)
        posture = posture_of(running.pid, Machine.read())
        opened_by = _opened_by(running, posture, everything() - held.permitted)
        tracing = Tracing(
            missing=everything() - held.permitted,
            closable=opened_by,
            exec_watch=_WATCHED.get(running.target.engine or "", ""),
            also=lambda: _threads(running),
        )
        with (
            hold_namespaces(running.pid) as namespaces,
            session(None, tracing=tracing, meanwhile=meanwhile) as ready,
        ):
            scope = Scope(0, running.pid, ready.traced().buffers.now())
            loop = _loop(ready, running, scope, command, opened_by, namespaces)
            own_caps.keep()
            execs = ExecWatcher(ready.traced().buffers, running.is_entered_by)

            def so_far() -> Observation:
                recording = _recording(loop, running, scope, held)
                return _observation(recording, loop, running, command, posture)

            def shown() -> list[TargetSoFar]:
                recording = replace(loop.recording(scope, held, None), attached=True)
                return [TargetSoFar("", (recording,))]

            saving = PeriodicSave(
                lambda: save(so_far().unfinished()), lambda: loop.sources.tracker.distinct
            )
            try:
                begun(len(running.processes()))
                if running.restart and running.unit:
                    manager.restart(running.unit.name)
                loop.run(each_round(loop, saving, onlooker, shown))
            finally:
                execs.stop()
    return so_far()


def _observation(
    recording: Recording, loop: EventLoop, running: Running, command: Command, posture: Posture
) -> Observation:
    return Observation(
        recordings=(recording,),
        target=replace(running.target, granted=_granted(recording, running)),
        workload=command.workload(loop.kind, command.check),
        posture=posture,
        check_passed=loop.state.health.passed,
        check_said=loop.check_said,
        credentials=loop.credentials,
    )


def _granted(recording: Recording, running: Running) -> CapSet:
    """The set that it runs with: a container's user can gain all of the bounding set."""
    held = recording.held
    return held.bounding if running.target.kind == "container" else held.permitted


@contextmanager
def _its_end_is_an_error(running: Running) -> Iterator[None]:
    """Report a target that ends before it is followed."""
    try:
        yield
    except (ProcessLookupError, FileNotFoundError) as error:
        if isinstance(error, FileNotFoundError) and os.path.exists(f"/proc/{running.pid}"):
            raise
        target = running.target
        if target.kind != "container":
            raise BadInput(f"process {running.pid} has ended") from error
        raise BadInput(
            f"{target.engine or ''} container {target.name} has ended".lstrip(),
            hint="to record one that ends soon after its start: capadvise run, then the command "
            "that starts it",
        ) from error


def _loop(
    ready: Session,
    running: Running,
    scope: Scope,
    command: Command,
    opened_by: dict[str, Cap],
    namespaces: list[int],
) -> EventLoop:
    trace = ready.traced()
    unit = running.unit
    starts = EntryStarts(running, scope, trace.buffers) if unit is None else UnitStarts(unit, scope)
    tracker = Tracker(
        *(trace.buffers.types, trace.symbols, starts, running.pid, 0, 0),
        opened_by=opened_by,
        pointers=trace.buffers.pointers,
    )
    subject = RunningSubject(running, scope, ready.guardian, trace, tracker)
    sources = Sources(trace.buffers, tracker, AuditListener.open())
    subject.adopt()
    note_namespaces(scope, running.target.name, namespaces, trace.buffers, tracker)
    limits = Limits(command.kind, command.seconds, owned=False)
    return EventLoop(subject, sources, ready.signals, command, limits)


def _threads(running: Running) -> list[int]:
    shim = [running.shim] if running.shim else []
    pids = *running.processes(), *shim
    return [*(thread for pid in pids for thread in procfs.threads(pid)), *running.daemon()]


def _opened_by(running: Running, posture: Posture, missing: CapSet) -> dict[str, Cap]:
    if posture.seccomp is None or posture.seccomp.mode != "filter" or not running.target.engine:
        return {}
    return opened_by(running.target.engine, missing)


def _recording(loop: EventLoop, running: Running, scope: Scope, held: Held) -> Recording:
    recording = loop.recording(scope, held, None)
    known = running.description
    files = changed_files(known, known.pid) if known else ()
    return replace(recording, attached=True, restarted=running.restart, image_files=files)
