"""The observations of one start, for each service or container by itself."""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from capadvise.config.run.pflag import value_of
from capadvise.kernel import procfs
from capadvise.kernel.executables import gain_of
from capadvise.model.health import Health
from capadvise.model.posture import Posture
from capadvise.model.recording import CapableFile, ForeignFolder, Held, Recording
from capadvise.model.target import Target
from capadvise.model.workload import Workload
from capadvise.observe.supervise.command import Command
from capadvise.observe.supervise.event_loop import EventLoop, TargetSoFar
from capadvise.observe.supervise.observation import Observation, working_directory
from capadvise.observe.tracking.tasks import Scope
from capadvise.targets.attaching import held_by
from capadvise.targets.client.client import RECORDING_LABEL
from capadvise.targets.client.container import Container
from capadvise.targets.containers.container_starts import StartedContainer
from capadvise.targets.containers.container_subject import ContainerSubject
from capadvise.targets.containers.containers import ContainerState, healthcheck
from capadvise.targets.containers.prepare import Start
from capadvise.targets.image.ownership import file_in_image


@dataclass(frozen=True, slots=True)
class Run:
    """A start that is followed."""

    start: Start
    loop: EventLoop
    subject: ContainerSubject
    command: Command
    """As the user gave it."""


def so_far(run: Run) -> list[TargetSoFar]:
    """Each service or container that has begun, in the order in which they did."""
    targets = []
    for members in _groups(run):
        entry = members[0][0]
        recordings = tuple(_recording_so_far(run, *member) for member in members)
        ended = entry.exit_status is not None
        name = entry.service or entry.name or image_name(entry.image) or entry.id[:12]
        health = Health(True) if entry.healthy else run.subject.engine_health.of(entry)
        targets.append(TargetSoFar(name, recordings, ended, health, entry.exit_status))
    return targets


def _groups(run: Run) -> Iterator[list[tuple[ContainerState, StartedContainer]]]:
    """The observed starts, by service or container."""
    groups: dict[str, list[tuple[ContainerState, StartedContainer]]] = {}
    for entry in list(run.subject.roster.entries.values()):
        wanted = not run.start.services or entry.service in run.start.services
        if wanted and run.subject.is_target(entry):
            for place in run.subject.places(entry):
                groups.setdefault(entry.service or entry.id, []).append((entry, place))
    yield from groups.values()


def observations(run: Run) -> Iterator[Observation]:
    for members in _groups(run):
        entry, place = members[0]
        recordings = tuple(_recording(run, *member) for member in members)
        yield observation(run, entry, place, recordings)


def _recording(run: Run, entry: ContainerState, place: StartedContainer) -> Recording:
    if run.start.label.startswith(RECORDING_LABEL) and place.scope is not None:
        _read_files(run, entry, place.scope)
    recording = _recording_so_far(run, entry, place)
    files, container = entry.look_at_files(place.root), entry.container
    seen = foreign_folders(container, place.user, place.root) if container else ()
    originals = run.start.originals
    foreign = tuple(replace(one, source=originals.get(one.source, one.source)) for one in seen)
    return replace(recording, image_files=files, foreign_folders=foreign)


def _read_files(run: Run, entry: ContainerState, scope: Scope) -> None:
    """Look in the image at the executed files that no process was left to find."""
    image = entry.image or run.start.invocation.image
    layers = run.start.client.layers_of(image) if image and scope.unread_files else []
    config = entry.container.raw.get("Config") if entry.container else None
    for path in scope.unread_files:
        named = os.path.join((config or {}).get("WorkingDir") or "/", path)
        with suppress(OSError):
            if (file := file_in_image(layers, named)) is None:
                continue
            handle = os.open(file[1], os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
            gain = gain_of(handle, in_user_namespace=bool(scope.namespace))
            os.close(handle)
            scope.setid_exec = gain.changes or scope.setid_exec
            scope.note_capable(CapableFile(file[0], gain.demanded))


def _recording_so_far(run: Run, entry: ContainerState, place: StartedContainer) -> Recording:
    assert place.scope is not None
    status = entry.exit_status if entry.exit_status is not None else run.subject.status
    bounding = place.sets.bounding if place.sets else procfs.capability_sets().bounding
    held = held_by("{}:{}".format(*place.user), bounding, place.sets)
    healthy = entry.healthy or run.subject.implicit_check(entry) is not None
    recording = run.loop.recording(place.scope, held, status, healthy=healthy)
    if recording.succeeded or entry.exit_status is None or entry.id in run.subject.ended_by_us:
        return recording
    if run.command.check is not None and entry.exit_status == 0:
        return recording
    if run.command.check is None and entry.stopped:  # by docker compose, or with docker stop
        return replace(recording, succeeded=None, interrupted=True)
    # It has ended before the others were stopped.
    return replace(recording, succeeded=entry.exit_status == 0, interrupted=False)


def observation(
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
            privileged=entry.container.privileged if entry.container else None,
            granted=run.start.granted.get(entry.service or ""),
        ),
        workload=_workload(run, entry),
        posture=place.posture or Posture(),
        check_passed=loop.state.health.passed,
        check_said=loop.check_said,
        credentials=loop.credentials,
        listening=loop.listening,
        given_up=loop.given_up,
    )


def _workload(run: Run, entry: ContainerState) -> Workload:
    """The workload of trials: the user's check, the container's own, or a good end."""
    check, kind = run.command.check, run.loop.kind
    if entry.id in run.subject.ended_by_us:
        container = entry.container
        if check is None and container and container.healthcheck:
            check = healthcheck(run.start.client, container)
        check = check or run.subject.implicit_check(entry)
        kind = run.command.kind or "daemon"
    elif len(run.start.services) > 1:  # the check was for those that went on
        check, kind = None, "oneshot"
    return run.command.workload(kind, check)


def image_name(image: str) -> str:
    """``registry/team/nginx:1.27@sha256:…`` is ``nginx``."""
    return PurePosixPath(image.partition("@")[0]).name.partition(":")[0] or "container"


def foreign_folders(
    container: Container, user: tuple[int, int], pid: int
) -> Iterator[ForeignFolder]:
    """The folders of the host that a container's user may not write to, as their owner and mode
    say. None for a container of root, and none where users have other numbers on the host.
    ``pid``: its first process, which may be gone."""
    own = procfs.namespace(pid, "user")
    if user[0] == 0 or own not in (None, procfs.namespace(os.getpid(), "user")):
        return
    uid, gid = user
    added = (container.raw.get("HostConfig") or {}).get("GroupAdd") or ()
    groups = {gid, *(int(one) for one in added if str(one).isdecimal())}
    for mount in container.mounts:
        if not mount.writable or mount.kind not in ("bind", "volume"):
            continue
        try:
            status = os.stat(mount.source)
        except OSError:
            continue
        if stat.S_ISDIR(status.st_mode) and not _may_write(status, uid, groups):
            owner = f"{status.st_uid}:{status.st_gid}"
            yield ForeignFolder(mount.destination, mount.source, owner, f"{uid}:{gid}")


def _may_write(status: os.stat_result, uid: int, groups: set[int]) -> bool:
    """True if the kernel would allow it without capabilities: the first of the three that fits
    decides."""
    if status.st_uid == uid:
        return bool(status.st_mode & stat.S_IWUSR)
    if status.st_gid in groups:
        return bool(status.st_mode & stat.S_IWGRP)
    return bool(status.st_mode & stat.S_IWOTH)
