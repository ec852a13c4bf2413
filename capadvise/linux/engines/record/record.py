"""Observing containers that a client starts: ``docker run``, ``podman run``, ``docker compose``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from capadvise.errors import CannotObserve, CannotStart
from capadvise.formats.pflag import value_of
from capadvise.linux.engines.cli.client import RECORDING_LABEL, TRIAL_LABEL, Client, rm_by_label
from capadvise.linux.engines.cli.container import PROJECT_LABEL
from capadvise.linux.engines.cli.invocation import Invocation
from capadvise.linux.engines.record import grant, project
from capadvise.linux.engines.record.container_starts import ContainerStarts, StartedContainer
from capadvise.linux.engines.record.container_subject import ContainerSubject
from capadvise.linux.engines.record.containers import ContainerState, Roster, healthcheck
from capadvise.linux.engines.record.registry import ENGINES
from capadvise.linux.ftrace.instances import require
from capadvise.linux.kernel import own_caps, procfs
from capadvise.linux.kernel.scratch import scratch
from capadvise.linux.supervise.command import Command
from capadvise.linux.supervise.command_subject import CommandSubject
from capadvise.linux.supervise.decisions import Limits
from capadvise.linux.supervise.event_loop import EventLoop
from capadvise.linux.supervise.observation import Observation, working_directory
from capadvise.linux.supervise.session import Session, Tracing, everything, session
from capadvise.linux.supervise.sources import Sources
from capadvise.linux.tracking.tasks import Scope
from capadvise.linux.tracking.tracker import Tracker
from capadvise.posture import Posture
from capadvise.recording import Held, Recording, Target
from capadvise.workload import Workload


@dataclass(frozen=True, slots=True)
class Start:
    """How containers are started, and what is looked at."""

    invocation: Invocation
    """The user's own."""
    client: Client
    argv: tuple[str, ...]
    """What is really called."""
    label: str
    services: tuple[str, ...] = ()
    """Of a compose project, those that are looked at."""
    target: str | None = None
    """The one service that a trial is about."""
    project: str | None = None
    """The compose project of a trial, of which nothing stays."""


@dataclass(frozen=True, slots=True)
class Run:
    """A start that is followed."""

    start: Start
    loop: EventLoop
    subject: ContainerSubject
    check: str | None
    kind: str | None
    """As the user gave them."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of a run of containers."""

    each: tuple[Observation, ...]
    """One for each container, or for each service of a project."""
    status: int | None
    """As the client ended; of a detached one, as its container did."""
    left: tuple[str, ...]
    """Names of the containers that are still there, stopped, as the user's command leaves them."""
    swept: tuple[str, ...] = ()
    """Names of those of a killed capadvise that ran on until now."""


def engine_of(invocation: Invocation) -> Client:
    """Its engine, which is there and is this machine's. Raises CannotObserve."""
    if invocation.engine == "podman" and os.geteuid() != 0:
        raise CannotObserve(
            "only root sees what the containers of a rootless podman ask for",
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
) -> Seen:
    """Run containers with every capability, and return what was seen of each.

    ``until_healthy``: their own healthchecks end the run. Raises CannotObserve or CannotStart
    when nothing ran.
    """
    client = engine_of(invocation)
    swept = sweep(client)
    with scratch() as folder:
        start = _for_recording(invocation, client, folder)
        seen = run_containers(start, command, meanwhile, until_healthy=until_healthy)
        return replace(seen, swept=swept)


def _for_recording(invocation: Invocation, client: Client, folder: Path) -> Start:
    label = f"{RECORDING_LABEL}={procfs.mark()}"
    granted = grant.recorded(invocation, label)
    if invocation.verb == "run":
        if invocation.image is not None:
            client.pull(invocation.image, value_of(invocation.options, "platform"))
        return Start(invocation, client, granted.argv(), label)
    resolved = project.config(invocation)
    services = project.targets(invocation, resolved)
    path = project.write(project.recorded(resolved, services, label), folder)
    ours = project.of_file(granted, path, resolved["name"])
    return Start(invocation, client, ours.argv(), label, services)


def sweep(client: Client) -> tuple[str, ...]:
    """Containers of a capadvise that was killed together with its guardian: those of trials are
    removed, and those of recordings, which have every capability, are stopped. Their names.

    One that has ended once and runs again was left as it should be, and its user has started it.
    """
    alive = {f"{pid}-{start}" for pid, start in procfs.living()}
    client.remove(_abandoned(client, TRIAL_LABEL, alive, running=False))
    ids = _abandoned(client, RECORDING_LABEL, alive, running=True)
    found = [one for one in map(client.find, ids) if one is not None and not one.has_ended]
    client.kill(one.id for one in found)
    return tuple(one.name for one in found)


def _abandoned(client: Client, label: str, alive: set[str], *, running: bool) -> list[str]:
    """Ids of the containers whose label names a process that is gone."""
    form = f'--format={{{{.ID}}}} {{{{.Label "{label}"}}}}'
    words = ["ps", "--no-trunc", f"--filter=label={label}", form]
    listed = client.call(*words, *(() if running else ("--all",)))
    pairs = (line.split() for line in listed.splitlines())
    return [pair[0] for pair in pairs if len(pair) == 2 and pair[1] not in alive]


def run_containers(
    start: Start,
    command: Command,
    meanwhile: Callable[[], object] = lambda: None,
    *,
    until_healthy: bool = False,
    at_end: Callable[[Run], None] | None = None,
    leave: bool = False,
) -> Seen:
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
        sweep=_sweep(start),
        meanwhile=meanwhile,
    ) as ready:
        run = _run(start, command, ready, roster, until_healthy=until_healthy)
        own_caps.keep()
        roster.open()
        try:
            ready.release()
            run.loop.run()
            each = tuple(_observations(run))
            if at_end is not None:
                at_end(run)
                each = each or (
                    _observation(run, ContainerState(""), StartedContainer(0, None), ()),
                )
        finally:
            roster.close()
        if not each:
            raise _not_seen(run)
        if leave or start.label.startswith(RECORDING_LABEL):
            ready.guardian.leave_containers()
    return Seen(each, run.subject.status, tuple(roster.left()))


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
    limits = Limits(command.kind, command.seconds, command.patience, stop_patience)
    loop = EventLoop(subject, Sources(trace.buffers, tracker), ready.signals, command, limits)
    return Run(start, loop, subject, command.check, command.kind)


def _sweep(start: Start) -> list[list[list[str]]]:
    """What the guardian removes: containers, and the volumes and networks of a trial's project."""
    client = list(start.client.argv)
    found = [rm_by_label(client, start.label)]
    if start.project:
        of_project = f"--filter=label={PROJECT_LABEL}={start.project}"
        for kind in ("volume", "network"):
            found.append([[*client, kind, "ls", "--quiet", of_project], [*client, kind, "rm"]])
    return found


def _not_seen(run: Run) -> Exception:
    """Why there is nothing to report."""
    status, invocation = run.subject.client_status, run.start.invocation
    client = " ".join(invocation.client[:1])
    if invocation.verb == "run" and status in (126, 127):
        return CannotStart(f"{client} could not start the container's command", found=status == 126)
    if status:
        return CannotObserve(f"{client} started no container: it ended with {status}")
    return CannotObserve(
        "the container was not observed: another engine than the one that is traced has started it",
        hint="run `capadvise doctor`",
    )


def _observations(run: Run) -> Iterator[Observation]:
    groups: dict[str, list[tuple[ContainerState, StartedContainer]]] = {}
    for entry in run.subject.roster.entries.values():
        wanted = not run.start.services or entry.service in run.start.services
        if wanted and run.subject.is_target(entry):
            for place in run.subject.places(entry):
                groups.setdefault(entry.service or entry.id, []).append((entry, place))
    for members in groups.values():
        entry, place = members[0]
        recordings = tuple(_recording(run, *member) for member in members)
        yield _observation(run, entry, place, recordings)


def _recording(run: Run, entry: ContainerState, place: StartedContainer) -> Recording:
    assert place.scope is not None
    status = entry.exit_status if entry.exit_status is not None else run.subject.status
    sets = place.sets
    bounding = sets.bounding if sets else procfs.capability_sets().bounding
    permitted = bounding if place.user[0] == 0 else sets.permitted if sets else frozenset()
    held = Held(bounding, permitted, sets.ambient if sets else frozenset())
    recording = run.loop.recording(place.scope, held, status, healthy=entry.healthy)
    return replace(recording, image_files=entry.look_at_files(place.root))


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
        kind = run.kind or "daemon"
    elif len(run.start.services) > 1:  # the check was for those that went on
        check, kind = None, "oneshot"
    return Workload(kind, check=check)


def image_name(image: str) -> str:
    """``registry/team/nginx:1.27@sha256:…`` is ``nginx``."""
    return PurePosixPath(image.partition("@")[0]).name.partition(":")[0] or "container"
