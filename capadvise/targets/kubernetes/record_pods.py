"""Recording pods where they run: nothing of them is started, stopped, or sent a signal.

Whatever starts containers is followed, containerd or CRI-O and all shims, so that each start is
observed from its first instruction. Each container has a report with one recording for each start.
A container that ran before has a recording, too, without its start.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace

from capadvise.kernel import own_caps, procfs
from capadvise.model.caps import CapSet
from capadvise.model.errors import CannotObserve
from capadvise.model.posture import Posture
from capadvise.model.recording import Recording
from capadvise.model.target import Target
from capadvise.observe.audit.live import AuditListener
from capadvise.observe.supervise.command import Command
from capadvise.observe.supervise.decisions import Happening, Limits, Moment
from capadvise.observe.supervise.event_loop import EventLoop, Onlooker, TargetSoFar
from capadvise.observe.supervise.guardian_client import GuardianProcess
from capadvise.observe.supervise.observation import Observation
from capadvise.observe.supervise.session import Session, Tracing, everything, session
from capadvise.observe.supervise.sources import Sources
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
from capadvise.targets.kubernetes.cri import node
from capadvise.targets.kubernetes.cri.bundle import CriContainer, with_digest
from capadvise.targets.kubernetes.cri.starts import PodStart, PodStarts
from capadvise.targets.kubernetes.pods import Pods, containers_of
from capadvise.targets.shims import CONTAINERD_SHIM, word_after

_RESTART_SECONDS = 3.0
"""Seconds between the end of a pod and the start of another one of its name."""
_LOOK_SECONDS = 0.2
_UNREAD = (
    "this machine was too busy to read which containers began before they were gone ({} of them): "
    "the needs of those that were of these pods are missing"
)


class PodsSubject(AttachedSubject):
    """See ``event_loop.Subject``. They go on when the recording ends."""

    def __init__(self, starts: PodStarts, guardian: GuardianProcess, *, come: bool) -> None:
        """``come``: there may be more pods later."""
        self._starts, self._guardian, self._come = starts, guardian, come
        self._next, self._alive = 0.0, time.monotonic()
        self.fds = (guardian.report,)

    @property
    def cautions(self) -> tuple[str, ...]:
        """The containers that were missed."""
        return (_UNREAD.format(self._starts.unread),) if self._starts.unread else ()

    @property
    def begun(self) -> bool:
        """True if a container has begun."""
        return bool(self._starts.starts)

    def update(self) -> list[Happening]:
        """See whether a pod is still there."""
        self._guardian.read()
        now = time.monotonic()
        if now >= self._next and not self._come:
            self._next = now + _LOOK_SECONDS
            if self._is_there():
                self._alive = now
            self.ended |= now - self._alive > _RESTART_SECONDS
        if self._guardian.ended and not self.ended:
            self.ended = True
            return [Moment.SUPERVISOR_LOST]
        return []

    def _is_there(self) -> bool:
        """CRI-O makes pods without a process that holds their namespaces: nothing shows whether
        such a pod is gone, or waits for the next start of a container."""
        held = self._starts.sandboxes
        if not held:
            return True
        return any(procfs.lives(pid, started) for pid, started in list(held.items()))

    def pids(self) -> list[int]:
        """The processes of all containers."""
        ids = tuple(self._starts.starts)
        return [pid for pid in procfs.processes() if any(i in procfs.cgroup(pid) for i in ids)]


@dataclass(frozen=True, slots=True)
class _Run:
    starts: PodStarts
    loop: EventLoop
    command: Command
    now: Callable[[], int]
    """The time by the clock of the events."""


def attach_pods(
    pods: Pods,
    command: Command,
    *,
    meanwhile: Callable[[], object] = lambda: None,
    begun: Callable[[list[CriContainer], int], object] = lambda containers, processes: None,
    onlooker: Onlooker | None = None,
    save: Callable[[Observation], object] = lambda observation: None,
) -> tuple[Observation, ...]:
    """Record until the pod is gone, the time is up, the check passes, or a signal comes: one
    observation for each container that ran.

    Only the check and the time of ``command`` are used. ``begun`` receives the containers and the
    number of their processes once they are recorded. ``onlooker`` is called between two rounds of
    reading, and ``save`` now and then with the observations so far. Raises CannotObserve, also if
    no container ran.
    """
    wanted = _wanted(pods)
    missing = _missing(wanted)
    closable = opened_by("containerd", missing)
    tracing = Tracing(
        missing=missing,
        closable=closable,
        exec_watch=CONTAINERD_SHIM,
        also=lambda: [*_above(), *_threads(wanted)],
    )
    with ExitStack() as held, session(None, tracing=tracing, meanwhile=meanwhile) as ready:
        trace = ready.traced()
        starts = PodStarts(pods.has, trace.buffers.ignore)
        tracker = Tracker(
            *(trace.buffers.types, trace.symbols, starts, 0, 0, 0),
            opened_by=closable,
            early=starts.sighted,
            pointers=trace.buffers.pointers,
        )
        _adopt(wanted, starts, tracker, ready, held)
        trace.buffers.drain(tracker)
        late = [kept for kept in _wanted(pods) if not starts.knows(kept.container.id)]
        trace.buffers.follow(_threads(late))  # they began before all was recorded
        _adopt(late, starts, tracker, ready, held)
        subject = PodsSubject(starts, ready.guardian, come=pods.come)
        limits = Limits(command.kind, command.seconds, owned=False)
        sources = Sources(trace.buffers, tracker, AuditListener.open())
        loop = EventLoop(subject, sources, ready.signals, command, limits)
        run = _Run(starts, loop, command, trace.buffers.now)
        own_caps.keep()
        execs = ExecWatcher(trace.buffers, node.is_shim_of_pods)
        try:
            named = [start.container for start in starts.starts.values()]
            begun(named, len(subject.pids()))
            loop.run(each_round(loop, _saving(run, save), onlooker, lambda: _so_far(run)))
        finally:
            execs.stop()
        if not starts.starts:
            raise _nothing_of(pods, subject)
        return tuple(_observations(run, _digests(starts)))


def _nothing_of(pods: Pods, subject: PodsSubject) -> CannotObserve:
    if subject.cautions:
        return CannotObserve(f"nothing of {pods} was recorded: {subject.cautions[0]}")
    beside = [kept.container.called for kept in containers_of(replace(pods, container="*"))]
    return CannotObserve(
        f"no container of {pods} ran on this machine during the recording",
        hint=f"there are {', '.join(sorted(beside)[:5])}"
        if beside
        else "run capadvise on the node of the pod, in its initial pid namespace",
    )


def _saving(run: _Run, save: Callable[[Observation], object]) -> PeriodicSave:
    def save_all() -> None:
        for observation in _observations(run, {}):  # digests take seconds: at the end
            save(observation.unfinished())

    return PeriodicSave(save_all, lambda: run.loop.sources.tracker.distinct)


def _wanted(pods: Pods) -> list[node.KeptContainer]:
    return [kept for kept in node.containers() if pods.has(kept.container)]


def _missing(wanted: list[node.KeptContainer]) -> CapSet:
    """The capabilities that one of them lacks; of future containers nothing is known."""
    sets = [kept.container.bounding for kept in wanted if kept.container.name]
    return everything() - (frozenset.intersection(*sets) if sets else frozenset())


def _above() -> list[int]:
    """The threads that start containers, and commands in them."""
    return [thread for pid in (*node.daemons(), *node.shims()) for thread in procfs.threads(pid)]


def _threads(wanted: list[node.KeptContainer]) -> list[int]:
    return [thread for pid in _processes(wanted) for thread in procfs.threads(pid)]


def _processes(wanted: list[node.KeptContainer]) -> dict[int, str]:
    """The processes of containers: pid → the container's id."""
    ids = [kept.container.id for kept in wanted if kept.container.name]
    groups = ((pid, procfs.cgroup(pid)) for pid in procfs.processes()) if ids else ()
    return {pid: each for pid, group in groups for each in ids if each in group}


def _adopt(
    wanted: list[node.KeptContainer],
    starts: PodStarts,
    tracker: Tracker,
    ready: Session,
    held: ExitStack,
) -> None:
    """Take over what runs already, if it still does."""
    buffers = ready.traced().buffers
    of = _processes(wanted)
    for thread in _above():
        if not tracker.knows(thread):
            tracker.adopt(thread, None)
    for kept in wanted:
        if not kept.container.name:
            starts.holds(kept.pid)
            continue
        with suppress(ProcessLookupError, FileNotFoundError):
            namespaces = held.enter_context(hold_namespaces(kept.pid))
            start = starts.adopt(kept, buffers.now())
            for pid in (pid for pid, container in of.items() if container == kept.container.id):
                for thread in procfs.threads(pid):
                    tracker.adopt(thread, start.scope)
            note_namespaces(start.scope, kept.container.called, namespaces, buffers, tracker)


# ------------------------------------------------------------ the results


def _groups(run: _Run) -> list[list[PodStart]]:
    """The starts of each container, by its name."""
    groups: dict[str, list[PodStart]] = {}
    for start in list(run.starts.starts.values()):
        groups.setdefault(start.container.called, []).append(start)
    return list(groups.values())


def _so_far(run: _Run) -> list[TargetSoFar]:
    return [
        TargetSoFar(starts[0].container.called, tuple(_recording(run, start) for start in starts))
        for starts in _groups(run)
    ]


def _recording(run: _Run, start: PodStart) -> Recording:
    held = held_by(start.container.user, start.container.bounding, start.sets)
    recording = run.loop.recording(start.scope, held, None)
    seconds = round((run.now() - start.scope.started) / 1e9, 3)
    return replace(recording, attached=start.attached, seconds=seconds)


def _digests(starts: PodStarts) -> dict[str, str]:
    """Image → its digest."""
    images = {start.container.image for start in starts.starts.values()} - {None}
    addresses = {word_after(procfs.arguments(shim), "-address") for shim in node.shims()} - {None}
    answers = (
        (image, node.digest(image, address))
        for image in images
        for address in addresses
        if image and address
    )
    return {image: digest for image, digest in answers if digest}


def _observations(run: _Run, digests: dict[str, str]) -> Iterator[Observation]:
    loop, command = run.loop, run.command
    for starts in _groups(run):
        last = starts[-1].container
        yield Observation(
            recordings=tuple(_recording(run, start) for start in starts),
            target=Target(
                kind="container",
                name=last.name,
                argv=last.argv,
                cwd=last.cwd,
                user=last.user,
                image=with_digest(last.image, digests.get(last.image or "")),
                engine=last.engine,
                container=last.id,
                pod=f"{last.namespace}/{last.pod}",
                privileged=last.privileged,
                granted=last.bounding,
            ),
            workload=command.workload(loop.kind, command.check),
            posture=starts[-1].posture or Posture(),
            check_passed=loop.state.health.passed,
            check_said=loop.check_said,
            credentials=loop.credentials,
        )
