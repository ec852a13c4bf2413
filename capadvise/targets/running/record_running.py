"""Recording what runs already: nothing of it is started, stopped, or sent a signal.

All its threads are followed, and all that they will fork. Of a container, so is the shim, which
starts whatever is executed inside later (``docker exec``), and docker's daemon, which starts
another shim with the container's next start; for podman see ``exec_watcher``. What comes into the
container in yet another way is found in /proc, a moment later.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from capadvise.kernel import own_caps, procfs
from capadvise.kernel.posture.read import Machine, posture_of
from capadvise.model.caps import Cap, CapSet
from capadvise.model.errors import BadInput
from capadvise.model.posture import Posture
from capadvise.model.recording import Held, Recording
from capadvise.observe.audit.live import AuditListener
from capadvise.observe.supervise.command import Command
from capadvise.observe.supervise.decisions import Limits
from capadvise.observe.supervise.event_loop import EventLoop
from capadvise.observe.supervise.observation import Observation
from capadvise.observe.supervise.onlooker import Onlooker, TargetSoFar
from capadvise.observe.supervise.session import Session, Tracing, everything, session
from capadvise.observe.supervise.sources import Sources
from capadvise.observe.tracking.tasks import Scope
from capadvise.observe.tracking.tracker import Tracker
from capadvise.targets.image.ownership import changed_files
from capadvise.targets.running import namespace_addresses
from capadvise.targets.running.exec_watcher import ExecWatcher
from capadvise.targets.running.interim import Interim
from capadvise.targets.running.opened_by import opened_by
from capadvise.targets.running.running_subject import Entering, RunningSubject
from capadvise.targets.running.target import Running
from capadvise.targets.shims import CONMON
from capadvise.targets.systemd import manager
from capadvise.targets.systemd.unit_starts import UnitStarts

_WATCHED = {"podman": CONMON, "cri": CONMON}
"""Who starts what enters the container, where nobody who is followed starts that."""


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

    Of ``command``, only what concerns the check and the time is used. ``begun`` is told how many
    processes are recorded, once they are. ``onlooker`` is called between two rounds of reading,
    ``save`` now and then with what was observed so far. Raises CannotObserve, or BadInput when it
    is gone.
    """
    with _its_end_is_an_error(running):
        held = _held(running)
        posture = posture_of(running.pid, Machine.read())
        opened_by = _opened_by(running, posture, everything() - held.permitted)
        tracing = Tracing(
            missing=everything() - held.permitted,
            closable=opened_by,
            exec_watch=_WATCHED.get(running.target.engine or "", ""),
            also=lambda: _threads(running),
        )
        with (
            namespace_addresses.held_open(running.pid) as namespaces,
            session(None, tracing=tracing, meanwhile=meanwhile) as ready,
        ):
            scope = Scope(0, running.pid, ready.traced().buffers.now())
            loop = _loop(ready, running, scope, command, opened_by, namespaces)
            own_caps.keep()
            execs = ExecWatcher(ready.traced().buffers, running.is_entered_by)

            def so_far() -> Observation:
                recording = _recording(loop, running, scope, held)
                return _observation(recording, loop, running, command, posture)

            interim = Interim(
                lambda: save(so_far().unfinished()), lambda: loop.sources.tracker.distinct
            )
            try:
                begun(len(running.processes()))
                if running.restart and running.unit:
                    manager.restart(running.unit.name)
                loop.run(_each_round(loop, running, scope, held, onlooker, interim))
            finally:
                execs.stop()
    return so_far()


def _observation(
    recording: Recording, loop: EventLoop, running: Running, command: Command, posture: Posture
) -> Observation:
    return Observation(
        recordings=(recording,),
        target=running.target,
        workload=command.workload(loop.kind, command.check),
        posture=posture,
        check_passed=loop.state.health.passed,
        check_said=loop.check_said,
        credentials=loop.credentials,
    )


def _each_round(
    loop: EventLoop,
    running: Running,
    scope: Scope,
    held: Held,
    onlooker: Onlooker | None,
    interim: Interim,
) -> Callable[[], None]:
    def so_far() -> list[TargetSoFar]:
        recording = replace(loop.recording(scope, held, None), attached=True)
        return [TargetSoFar("", (recording,))]

    def look() -> None:
        interim.look()
        if onlooker is not None:
            onlooker(loop, so_far)

    return look


@contextmanager
def _its_end_is_an_error(running: Running) -> Iterator[None]:
    """A process that ends before it is followed."""
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
    """Take over what is followed."""
    trace = ready.traced()
    unit = running.unit
    starts = Entering(running, scope, trace.buffers) if unit is None else UnitStarts(unit, scope)
    tracker = Tracker(
        *(trace.buffers.types, trace.symbols, starts, running.pid, 0, 0),
        opened_by=opened_by,
        pointers=trace.buffers.pointers,
    )
    subject = RunningSubject(running, scope, ready.guardian, trace, tracker)
    sources = Sources(trace.buffers, tracker, AuditListener.open())
    subject.adopt()
    namespace_addresses.note(scope, running.target.name, namespaces, trace.buffers, tracker)
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


def _held(running: Running) -> Held:
    """What it could have: as root it gets with an exec what the bounding set has."""
    sets = procfs.capability_sets(running.pid)
    root = running.target.user.partition(":")[0] == "0"
    return Held(sets.bounding, sets.bounding if root else sets.permitted, sets.ambient)


def _recording(loop: EventLoop, running: Running, scope: Scope, held: Held) -> Recording:
    recording = loop.recording(scope, held, None)
    known = running.description
    files = changed_files(known, known.pid) if known else ()
    return replace(recording, attached=True, restarted=running.restart, image_files=files)
