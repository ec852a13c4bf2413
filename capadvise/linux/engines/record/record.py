"""Observing containers that a client starts: ``docker run``, ``podman run``, ``docker compose``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from capadvise.errors import CannotObserve, CannotStart
from capadvise.formats.pflag import value_of
from capadvise.linux.engines.cli.client import RECORDING_LABEL, Client, EngineError, rm_by_label
from capadvise.linux.engines.cli.container import PROJECT_LABEL
from capadvise.linux.engines.cli.invocation import Invocation
from capadvise.linux.engines.record import service_names
from capadvise.linux.engines.record.beside import check_of
from capadvise.linux.engines.record.container_starts import ContainerStarts, StartedContainer
from capadvise.linux.engines.record.container_subject import ContainerSubject
from capadvise.linux.engines.record.containers import ContainerState, Roster, healthcheck
from capadvise.linux.engines.record.leftovers import sweep
from capadvise.linux.engines.record.prepare import Start, for_recording
from capadvise.linux.engines.record.registry import ENGINES
from capadvise.linux.ftrace.instances import require
from capadvise.linux.kernel import own_caps, procfs
from capadvise.linux.kernel.process_tree import remove_containers
from capadvise.linux.kernel.scratch import LARGE, scratch
from capadvise.linux.supervise.command import Command
from capadvise.linux.supervise.command_subject import CommandSubject
from capadvise.linux.supervise.decisions import Limits
from capadvise.linux.supervise.event_loop import EventLoop
from capadvise.linux.supervise.health_seen import HealthSeen
from capadvise.linux.supervise.observation import Observation, working_directory
from capadvise.linux.supervise.onlooker import Onlooker, TargetSoFar
from capadvise.linux.supervise.session import Session, Tracing, everything, session
from capadvise.linux.supervise.sources import Sources
from capadvise.linux.tracking.tasks import Scope
from capadvise.linux.tracking.tracker import Tracker
from capadvise.posture import Posture
from capadvise.recording import Held, Recording, Target
from capadvise.workload import Workload, implicit_check


@dataclass(frozen=True, slots=True)
class Run:
    """A start that is followed."""

    start: Start
    loop: EventLoop
    subject: ContainerSubject
    check: str | None
    kind: str | None
    check_after: float
    """As the user gave them."""


@dataclass(frozen=True, slots=True)
class ContainerRun:
    """What came of a run of containers."""

    each: tuple[Observation, ...]
    """One for each container, or for each service of a project."""
    status: int | None
    """As the client ended; of a detached one, as its container did."""
    removed: tuple[str, ...]
    """Names of the containers that the user's command would have left: they had everything."""
    swept: tuple[str, ...] = ()
    """Names of those of a killed capadvise that ran on until now."""


def engine_of(invocation: Invocation) -> Client:
    """Its engine, which is there and is this machine's. Raises CannotObserve."""
    if invocation.engine == "podman" and os.geteuid() != 0:
        raise CannotObserve(
            "only root can observe the containers of a rootless podman",
            hint="start the container, then: sudo capadvise attach NAME",
        )
    require()
    client = Client(invocation.engine, invocation.client)
    ENGINES[client.engine].require(client)
    return client


def observe_containers(
    invocation: Invocation,
    command: Command,
    meanwhile: Callable[[], object] = lambda: None,
    *,
    until_healthy: bool = False,
    in_its_place: bool = False,
    say: Callable[[str], object] = lambda sentence: None,
    onlooker: Onlooker | None = None,
) -> ContainerRun:
    """Run containers with every capability, and return what was seen of each.

    ``until_healthy``: their own healthchecks end the run. ``in_its_place``: what is up is stopped
    meanwhile, else nothing of it is touched; ``say`` is told before. Raises CannotObserve or
    CannotStart when nothing ran.
    """
    client = engine_of(invocation)
    swept = sweep(client)
    with scratch(LARGE) as folder:
        start = for_recording(invocation, client, folder, say, in_its_place=in_its_place)
        with _stopped_meanwhile(start, say):
            seen = run_containers(
                start, command, meanwhile, until_healthy=until_healthy, onlooker=onlooker
            )
        for one in seen.each:
            if words := implicit_check(one.workload.check):
                say(f"{one.target.name} has no health check: trials see that it {words}")
        return replace(seen, swept=swept)


@contextmanager
def _stopped_meanwhile(start: Start, say: Callable[[str], object]) -> Iterator[None]:
    """Where this is killed, the guardian starts them again, or the next capadvise does."""
    try:
        yield
    finally:
        for one in start.stopped:
            try:
                start.client.start([one.id])
            except EngineError as error:
                say(f"{one.name} could not be started again: {error}")


def run_containers(
    start: Start,
    command: Command,
    meanwhile: Callable[[], object] = lambda: None,
    *,
    until_healthy: bool = False,
    onlooker: Onlooker | None = None,
    at_end: Callable[[Run], None] | None = None,
    leave: bool = False,
) -> ContainerRun:
    """Start them, follow them to their end, and say what was seen. ``at_end``, of a trial, is
    called before they are removed; ``leave``: they are not, but started again."""
    engine = ENGINES[start.client.engine]
    ancestors = engine.ancestors(start.client)
    starts = ContainerStarts()
    roster = engine.roster(start.client, start.label, starts)
    missing = everything() if command.caps is None else everything() - command.caps
    with session(
        replace(command, argv=start.argv, user=None, caps=None),
        tracing=Tracing(missing=missing, also=ancestors),
        sweep=[*_removal(start), *_restart(start)],
        meanwhile=meanwhile,
    ) as ready:
        run = _run(start, command, ready, roster, until_healthy=until_healthy)
        own_caps.keep()
        if start.stopped:
            start.client.call("stop", *(one.id for one in start.stopped))
        roster.open()
        try:
            ready.release()
            run.loop.run(
                None if onlooker is None else lambda: onlooker(run.loop, lambda: _so_far(run))
            )
            each = tuple(_observations(run))
            if at_end is not None:
                at_end(run)
                each = each or (
                    _observation(run, ContainerState(""), StartedContainer(0, None), ()),
                )
        finally:
            roster.close()
        removed: tuple[str, ...] = ()
        if start.label.startswith(RECORDING_LABEL):
            removed = () if start.project or start.stopped else tuple(roster.left())
            remove_containers(_removal(start))
        if each and (leave or start.label.startswith(RECORDING_LABEL)):
            ready.guardian.leave_containers()
        if not each:
            raise _not_seen(run)
    return ContainerRun(each, run.subject.status, removed)


def _run(
    start: Start, command: Command, ready: Session, roster: Roster, *, until_healthy: bool
) -> Run:
    trace, starts = ready.traced(), roster.starts
    tracker = Tracker(
        *(trace.buffers.types, trace.symbols, starts, ready.held, 0, 0),
        early=starts.sighted,
        pointers=trace.buffers,
    )
    subject = ContainerSubject(
        CommandSubject(ready.guardian, ready.held, own_terminal=command.terminal is not None),
        roster,
        patience=command.patience,
        detached=start.invocation.detached,
        target=start.target,
        until_healthy=until_healthy,
    )
    # We stop them through the engine, which waits so long by itself.
    stop_patience = 2 * command.patience
    limits = Limits(
        *(command.kind, command.seconds, command.patience, stop_patience), ends_by_interrupt=True
    )
    sources = Sources(trace.buffers, tracker)
    asked = replace(command, check=_reaching(start, command.check))
    loop = EventLoop(subject, sources, ready.signals, asked, limits)
    return Run(start, loop, subject, command.check, command.kind, command.check_after)


def _reaching(start: Start, check: str | None) -> str | None:
    """A health check from the host, so that it reaches this recording or trial."""
    if check is None:
        return None
    if start.compose:
        check = service_names.check_of(check, start.client.argv, start.compose, start.names)
    return check_of(check, dict(start.ports)) if start.ports else check


def _removal(start: Start) -> list[list[list[str]]]:
    """What is removed at the end: containers, and all of a compose project of our own. Pairs of
    commands, see ``process_tree.remove_containers``."""
    client = list(start.client.argv)
    pairs = [rm_by_label(client, start.label)]
    if start.project:
        of_project = f"{PROJECT_LABEL}={start.project}"
        pairs.append(rm_by_label(client, of_project))
        for kind in ("volume", "network"):
            listing = [*client, kind, "ls", "--quiet", f"--filter=label={of_project}"]
            pairs.append([listing, [*client, kind, "rm"]])
    return pairs


def _restart(start: Start) -> list[list[list[str]]]:
    """What was stopped is started again by the guardian, where we cannot."""
    client = list(start.client.argv)
    listing = [*client, "ps", "--all", "--quiet", "--no-trunc"]
    filters = [f"--filter=id={one.id}" for one in start.stopped]
    return [[[*listing, *filters], [*client, "start"]]] if filters else []


def _not_seen(run: Run) -> Exception:
    """Why there is nothing to report."""
    status, invocation = run.subject.client_status, run.start.invocation
    client = " ".join(invocation.client[:1])
    if invocation.verb == "run" and status in (126, 127):
        return CannotStart(f"{client} could not start the container's command", found=status == 126)
    if status:
        return CannotObserve(f"{client} started no container: it ended with {status}")
    return CannotObserve(
        "the container was not observed: an engine started it that is not being traced",
        hint="run `capadvise doctor`",
    )


def _so_far(run: Run) -> list[TargetSoFar]:
    """Each service or container that has begun, in the order in which they did."""
    targets = []
    for members in _groups(run):
        entry = members[0][0]
        recordings = tuple(_recording_so_far(run, *member) for member in members)
        ended = entry.exit_status is not None
        name = entry.service or entry.name or image_name(entry.image) or entry.id[:12]
        health = HealthSeen(True) if entry.healthy else run.subject.engine_health.of(entry)
        targets.append(TargetSoFar(name, recordings, ended, health))
    return targets


def _groups(run: Run) -> Iterator[list[tuple[ContainerState, StartedContainer]]]:
    """What is looked at, by service or container."""
    groups: dict[str, list[tuple[ContainerState, StartedContainer]]] = {}
    for entry in list(run.subject.roster.entries.values()):
        wanted = not run.start.services or entry.service in run.start.services
        if wanted and run.subject.is_target(entry):
            for place in run.subject.places(entry):
                groups.setdefault(entry.service or entry.id, []).append((entry, place))
    yield from groups.values()


def _observations(run: Run) -> Iterator[Observation]:
    for members in _groups(run):
        entry, place = members[0]
        recordings = tuple(_recording(run, *member) for member in members)
        yield _observation(run, entry, place, recordings)


def _recording(run: Run, entry: ContainerState, place: StartedContainer) -> Recording:
    recording = _recording_so_far(run, entry, place)
    return replace(recording, image_files=entry.look_at_files(place.root))


def _recording_so_far(run: Run, entry: ContainerState, place: StartedContainer) -> Recording:
    assert place.scope is not None
    status = entry.exit_status if entry.exit_status is not None else run.subject.status
    sets = place.sets
    bounding = sets.bounding if sets else procfs.capability_sets().bounding
    permitted = bounding if place.user[0] == 0 else sets.permitted if sets else frozenset()
    held = Held(bounding, permitted, sets.ambient if sets else frozenset())
    healthy = entry.healthy or run.subject.implicit_check(entry) is not None
    return run.loop.recording(place.scope, held, status, healthy=healthy)


def _observation(
    run: Run, entry: ContainerState, place: StartedContainer, recordings: tuple[Recording, ...]
) -> Observation:
    invocation, loop = run.start.invocation, run.loop
    image = entry.image or invocation.image or ""
    given = value_of(invocation.options, "name")
    nothing = loop.recording(Scope(0, 0, 0), Held(*3 * [frozenset()]), run.subject.status)
    return Observation(
        recordings=recordings or (nothing,),
        target=Target(
            kind="container",
            name=entry.service or given or image_name(image or invocation.rootfs or ""),
            argv=invocation.argv(),
            cwd=working_directory(),
            user=f"{place.user[0]}:{place.user[1]}",
            image=image or None,
            engine=run.start.client.engine,
            container=entry.name or entry.id,
            service=entry.service,
        ),
        workload=_workload(run, entry),
        posture=place.posture or Posture(),
        check_passed=loop.state.health.passed,
        check_said=loop.check_said,
        credentials=loop.credentials,
    )


def _workload(run: Run, entry: ContainerState) -> Workload:
    """How to tell, in a trial, that it works: the user's check, its own, or that it ends well."""
    check, kind = run.check, run.loop.kind
    if entry.id in run.subject.ended_by_us:
        container = entry.container
        if check is None and container and container.healthcheck:
            check = healthcheck(run.start.client, container)
        check = check or run.subject.implicit_check(entry)
        kind = run.kind or "daemon"
    elif len(run.start.services) > 1:  # the check was for those that went on
        check, kind = None, "oneshot"
    return Workload(kind, check=check, check_after=run.check_after if check else 0.0)


def image_name(image: str) -> str:
    """``registry/team/nginx:1.27@sha256:…`` is ``nginx``."""
    return PurePosixPath(image.partition("@")[0]).name.partition(":")[0] or "container"
