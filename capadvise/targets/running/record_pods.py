"""Recording pods where they run: nothing of them is started, stopped, or sent a signal.

What starts containers is followed, containerd or CRI-O and all shims, so that each start is seen
from its first instruction. Each container has a report, and each of its starts a recording in it;
what ran before has one, too, of which the start was not seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace

from capadvise.kernel import own_caps, procfs
from capadvise.model.caps import CapSet
from capadvise.model.errors import CannotObserve
from capadvise.model.posture import Posture
from capadvise.model.recording import Held, Recording
from capadvise.model.target import Target
from capadvise.observe.audit.live import AuditListener
from capadvise.observe.supervise.command import Command
from capadvise.observe.supervise.decisions import Limits
from capadvise.observe.supervise.event_loop import EventLoop
from capadvise.observe.supervise.observation import Observation
from capadvise.observe.supervise.onlooker import Onlooker, TargetSoFar
from capadvise.observe.supervise.session import Session, Tracing, everything, session
from capadvise.observe.supervise.sources import Sources
from capadvise.observe.tracking.tracker import Tracker
from capadvise.targets.kubernetes.cri import node
from capadvise.targets.kubernetes.cri.bundle import CriContainer, with_digest
from capadvise.targets.kubernetes.cri.starts import PodStart, PodStarts
from capadvise.targets.running import namespace_addresses
from capadvise.targets.running.exec_watcher import ExecWatcher
from capadvise.targets.running.interim import Interim
from capadvise.targets.running.opened_by import opened_by
from capadvise.targets.running.pods import Pods, containers_of
from capadvise.targets.running.pods_subject import PodsSubject
from capadvise.targets.shims import CONTAINERD_SHIM


@dataclass(frozen=True, slots=True)
class _Run:
    """What is followed."""

    starts: PodStarts
    loop: EventLoop
    command: Command
    now: Callable[[], int]
    """By the clock of the events."""


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

    Of ``command``, only what concerns the check and the time is used. ``begun`` is told which
    containers run, and of how many processes, once they are recorded. ``onlooker`` is called
    between two rounds of reading, ``save`` now and then with what was observed of each container so
    far. Raises CannotObserve, also where none ran.
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
            loop.run(_each_round(run, onlooker, save))
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
        f"no container of {pods} ran on this machine meanwhile",
        hint=f"there are {', '.join(sorted(beside)[:5])}"
        if beside
        else "run capadvise on the node of the pod, in its initial pid namespace",
    )


def _each_round(
    run: _Run, onlooker: Onlooker | None, save: Callable[[Observation], object]
) -> Callable[[], None]:
    def save_all() -> None:
        for observation in _observations(run, {}):  # digests take seconds: at the end
            save(observation.unfinished())

    interim = Interim(save_all, lambda: run.loop.sources.tracker.distinct)

    def look() -> None:
        interim.look()
        if onlooker is not None:
            onlooker(run.loop, lambda: _so_far(run))

    return look


def _wanted(pods: Pods) -> list[node.KeptContainer]:
    return [kept for kept in node.containers() if pods.has(kept.container)]


def _missing(wanted: list[node.KeptContainer]) -> CapSet:
    """What any of them cannot have; of none is known what it could have later."""
    sets = [kept.container.bounding for kept in wanted if kept.container.name]
    return everything() - (frozenset.intersection(*sets) if sets else frozenset())


def _above() -> list[int]:
    """What starts containers, and what is executed in them."""
    return [thread for pid in (*node.daemons(), *node.shims()) for thread in procfs.threads(pid)]


def _threads(wanted: list[node.KeptContainer]) -> list[int]:
    return [thread for pid in _processes(wanted) for thread in procfs.threads(pid)]


def _processes(wanted: list[node.KeptContainer]) -> dict[int, str]:
    """Those of containers: pid → the container's id."""
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
    """Take over what runs already. What is gone by now, is not recorded."""
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
            namespaces = held.enter_context(namespace_addresses.held_open(kept.pid))
            start = starts.adopt(kept, buffers.now())
            for pid in (pid for pid, container in of.items() if container == kept.container.id):
                for thread in procfs.threads(pid):
                    tracker.adopt(thread, start.scope)
            namespace_addresses.note(
                start.scope, kept.container.called, namespaces, buffers, tracker
            )


# ------------------------------------------------------------ what came of it


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
    recording = run.loop.recording(start.scope, _held(start), None)
    seconds = round((run.now() - start.scope.started) / 1e9, 3)
    return replace(recording, attached=start.attached, seconds=seconds)


def _held(start: PodStart) -> Held:
    """What it could have: as root it gets with an exec what the bounding set has."""
    container, sets = start.container, start.sets
    root = container.user.partition(":")[0] == "0"
    permitted = container.bounding if root else sets.permitted if sets else frozenset()
    return Held(container.bounding, permitted, sets.ambient if sets else frozenset())


def _digests(starts: PodStarts) -> dict[str, str]:
    """Image → its digest."""
    images = {start.container.image for start in starts.starts.values()} - {None}
    addresses = {node.address_of(shim) for shim in node.shims()} - {None} if images else set()
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
            ),
            workload=command.workload(loop.kind, command.check),
            posture=starts[-1].posture or Posture(),
            check_passed=loop.state.health.passed,
            check_said=loop.check_said,
            credentials=loop.credentials,
        )
