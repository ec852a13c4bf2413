"""A trial of a container: created again with the trial's set, under the engine's own defaults, and
started again for each further round."""

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from capadvise.config.run.pflag import Option
from capadvise.judgement.differences import CHANGED
from capadvise.kernel import procfs
from capadvise.kernel.folders import copy_plain
from capadvise.kernel.posture.mounts import Mount, parse_mounts
from capadvise.kernel.process_tree import remove_containers
from capadvise.model.caps import CapSet, parse_set
from capadvise.model.companion import UNMASKED, CompanionKind
from capadvise.model.errors import BadInput
from capadvise.model.recording import Recording
from capadvise.model.seccomp_profile import OpenedCall, SeccompProfile
from capadvise.observe.supervise.command import Command
from capadvise.observe.supervise.event_loop import EventLoop, Onlooker, StandingStill, TargetSoFar
from capadvise.observe.supervise.observation import Observation
from capadvise.observe.supervise.session import everything
from capadvise.targets.attaching import opened_by
from capadvise.targets.client.client import TRIAL_LABEL, Client, EngineError
from capadvise.targets.client.container import Container
from capadvise.targets.client.invocation import Invocation, recognize
from capadvise.targets.containers import beside, grant, project, volumes
from capadvise.targets.containers.data import TrialData, keep_filled
from capadvise.targets.containers.in_place import FreePorts, InPlace
from capadvise.targets.containers.prepare import Start
from capadvise.targets.containers.record import engine_of, other_removal, run_containers
from capadvise.targets.containers.seen import Run
from capadvise.targets.image.ownership import MappedOwners, WrittenFolder, layers_of

_QUIET_SECONDS = 0.2
"""Seconds without news after which a start has most likely made all of its checks."""
Up = Callable[[Sequence[Recording]], object]
"""Receives the recordings of a container that is up."""
_MOST_IN_MEMORY = 64
"""Mounts: each of a container's processes can make others."""
_RETURN_SECONDS = 30.0
"""Seconds in which a restarted engine answers again."""


@dataclass(frozen=True, slots=True)
class ContainerTrial:
    """Containers that stay between the rounds. The user's own are not touched."""

    first: Start
    data: TrialData
    name: str
    out: Path
    err: Path
    check: str | None
    new_volumes: bool
    """True if all of its volumes are the trial's own."""

    def run(
        self,
        number: int,
        command: Command,
        seen: Callable[[tuple[Observation, Sequence[WrittenFolder]]], None],
        up: Up | None,
    ) -> None:
        """Run one round, by its number from 1. ``up`` receives the recordings once the container is
        up, ``seen`` the result, with the folders that its containers wrote to. The container's
        output goes into two files, without the client's own messages.

        Raises CannotObserve if the engine does not answer.
        """
        written: list[WrittenFolder] = []
        in_memory = _InMemory(None if up is None else _once_up(up))

        def look(run: Run) -> None:
            client, subject = self.first.client, run.subject
            for entry in subject.roster.entries.values():
                # Find it again: if the engine has ended since, this fails, and the trial with it.
                container = client.find(entry.id) if subject.is_target(entry) else None
                if container:
                    written.extend(self._written(container))
                    written.extend(in_memory.written(container))
                if container and (entry.started or subject.places(entry)):
                    with suppress(EngineError):
                        texts = client.logs(container.id)
                        for path, text in zip((self.out, self.err), texts, strict=True):
                            path.write_text(text, errors="backslashreplace")
            if subject.roster.engine_ended():
                raise EngineError(f"{client.engine} ended during the trial")

        start = self.first if number == 1 else self._again()
        run_containers(
            *(start, command),
            at_end=look,
            leave=True,
            judged_by=self.check,
            # Services that share a volume wrote to one folder.
            seen=lambda result: seen(
                (result.each[0], [*{one.changed or one.name: one for one in written}.values()])
            ),
            onlooker=in_memory.look,
        )

    def keep(self, folder: Path, *, give_away: bool) -> None:
        """Keep what its target has left: see ``data.keep_filled``."""
        for name in self.first.client.labelled(self.first.label):
            container = self.first.client.find(name)
            if container and self.first.target in (None, container.service):
                keep_filled(self.first.client, container, folder, give_away=give_away)

    def _written(self, container: Container) -> Iterator[WrittenFolder]:
        """Its own layer, and its volumes that are the trial's."""
        owners = MappedOwners(container, container.pid)
        upper = container.upper or ""
        yield WrittenFolder("/", upper, upper, owners, layers_of(container))
        ours = {os.path.realpath(folder): folder for folder in self.data.made}
        for mount in container.mounts:
            made, where = ours.get(os.path.realpath(mount.source)), mount.destination
            if made in self.data.overlays:
                upper, lower = map(str, self.data.overlays[made])
                yield WrittenFolder(where, upper, mount.source, owners, [Path(lower)], CHANGED)
            elif made in self.data.originals:  # a copy has what is unchanged, too
                before = [self.data.originals[made]]
                yield WrittenFolder(where, mount.source, mount.source, owners, before, CHANGED)
            elif made or (mount.kind == "volume" and mount.writable and self.new_volumes):
                yield WrittenFolder(where, mount.source, mount.source, owners)
            elif mount.writable and mount.kind != "tmpfs":
                yield WrittenFolder(where, "", "", owners)

    def _again(self) -> Start:
        """Start the containers of a project again by the same call of docker compose, but with
        podman by podman itself, as podman-compose would make them again; a single container by its
        name."""
        client = self.first.client
        words: tuple[str, ...] = ("start", "--attach", self.name)
        if self.first.invocation.verb == "compose up":
            if client.engine == "docker":
                return self.first
            words = ("start", *client.labelled(self.first.label))
        return replace(self.first, argv=(*client.argv, *words))


class _InMemory:
    """The tmpfs mounts of containers. An open folder keeps one after the end of its container."""

    def __init__(self, then: Onlooker | None) -> None:
        """``then``: looks after it."""
        self._then = then
        self._own = {mount.device for mount in _mounts("self")}
        self._looked_at: set[str] = set()
        self._held: dict[str, tuple[str, str, int]] = {}
        """By device: control group of the container, place, open folder."""

    def look(self, loop: EventLoop, so_far: Callable[[], Sequence[TargetSoFar]]) -> None:
        """Hold those of containers that have begun since."""
        for pid in loop.subject.pids():
            with suppress(OSError):
                if (namespace := os.readlink(f"/proc/{pid}/ns/mnt")) not in self._looked_at:
                    self._hold(pid, namespace, _mounts(pid))
        if self._then is not None:
            self._then(loop, so_far)

    def _hold(self, pid: int, namespace: str, mounts: Sequence[Mount]) -> None:
        if any(mount.target == "/" and mount.device in self._own for mount in mounts):
            return  # the runtime has not yet entered the container's root
        self._looked_at.add(namespace)
        for mount in mounts:
            known = mount.device in {*self._own, *self._held} or len(self._held) == _MOST_IN_MEMORY
            if mount.type != "tmpfs" or mount.read_only or known or mount.root != "/":
                continue
            with suppress(OSError):  # another mount hides it
                fd = os.open(f"/proc/{pid}/root{mount.target}", os.O_PATH | os.O_CLOEXEC)
                self._held[mount.device] = procfs.cgroup(pid), mount.target, fd

    def written(self, container: Container) -> Iterator[WrittenFolder]:
        """Those that one container was given. It may have ended before it was looked at, and a link
        of its own may have led elsewhere."""
        owners, held = MappedOwners(container, container.pid), dict[str, str]()
        for device, (cgroup, name, fd) in self._held.items():
            number = os.fstat(fd).st_dev
            if container.id in cgroup and device == f"{os.major(number)}:{os.minor(number)}":
                held[name] = f"/proc/{os.getpid()}/fd/{fd}"
        given = {*((container.raw.get("HostConfig") or {}).get("Tmpfs") or ())}
        given |= {mount.destination for mount in container.mounts if mount.kind == "tmpfs"}
        for name in sorted(given):
            yield WrittenFolder(name, held.get(name, ""), held.get(name, ""), owners)


def _mounts(pid: int | str) -> Sequence[Mount]:
    text = Path(f"/proc/{pid}/mountinfo").read_text(errors="surrogateescape")
    return tuple(parse_mounts(text))


def _once_up(up: Up) -> Onlooker:
    """Report the recordings once the container does nothing new, long before it is settled."""
    quiet, done = StandingStill(_QUIET_SECONDS), False

    def look(loop: EventLoop, so_far: Callable[[], Sequence[TargetSoFar]]) -> None:
        nonlocal done
        now = time.monotonic() - loop.clock
        if done or not loop.subject.begun or not quiet.look(now, lambda: _seen_of(loop)):
            return
        done = True
        for target in so_far()[:1]:
            up(target.recordings)

    return look


def _seen_of(loop: EventLoop) -> tuple[set[str], bool]:
    """The new programs and checks while it comes up; and whether it computes."""
    pids = loop.subject.pids()
    programs = {procfs.comm(pid) for pid in pids}
    return {*programs, str(loop.sources.tracker.distinct)}, any(map(procfs.is_busy, pids))


@contextmanager
def container_trial(plan: dict[str, Any], top: Path, out: Path, err: Path) -> Iterator[Any]:
    """Prepare a trial, and remove its containers, volumes and networks at the end.

    Raises CannotObserve if the engine does not answer, BadInput and CannotCover if a volume can be
    neither overlaid nor copied.
    """
    invocation = recognize(tuple(plan["argv"]))
    if invocation is None:
        raise BadInput("the report's command starts no known container")
    if plan["image"] and invocation.verb == "run":
        invocation = replace(invocation, rest=(plan["image"], *invocation.rest[1:]))
    client = engine_of(invocation)
    first_id = grant.first_id(invocation) if plan["userns"] else 0
    data = TrialData(client, top, plan["data"], plan["before"], first_id)
    with ExitStack() as undone:
        undone.callback(data.close)
        start = _start(invocation, client, plan, top, data)
        undone.callback(_remove, start)
        shared = any(option.name == "volumes-from" for option in invocation.options)
        new_volumes = not (plan["reuse_volumes"] or shared)
        yield ContainerTrial(start, data, top.name, out, err, plan["check"], new_volumes)


def _remove(start: Start) -> None:
    """Remove everything. Wait for an engine that is being restarted, and for a podman that has not
    yet noted the end of a container. Things that it was about to make can appear a moment later."""
    end, interrupted = time.monotonic() + _RETURN_SECONDS, False
    while True:
        try:
            start.client.remove_labelled(start.label)
            remove_containers(other_removal(start))
            if not interrupted:
                return
            interrupted = False
        except EngineError:  # our next start removes leftovers
            interrupted = True
            if time.monotonic() > end:
                return
        time.sleep(0.5)


def _resolved(invocation: Invocation, plan: dict[str, Any]) -> dict[str, Any]:
    resolved = project.config(invocation)
    if plan["userns"]:
        for service in resolved["services"].values():
            service.pop("userns_mode", None)  # "host" is its only value
    if plan["image"]:
        resolved["services"][plan["service"]]["image"] = plan["image"]
    return resolved


def _flags(plan: dict[str, Any]) -> list[CompanionKind]:
    given = plan | {CompanionKind.SECCOMP.value: plan["seccomp"] or plan["profile"]}
    return [kind for kind in grant.FLAGS if given[kind.value]]


def _opened(client: Client, plan: dict[str, Any], top: Path) -> list[str]:
    """The security options of companions that open the engine's defaults."""
    options = []
    if plan["profile"]:
        profile = SeccompProfile.parse(json.loads(plan["profile"]))
        path = top / "seccomp.json"
        path.write_text(profile.opened(map(OpenedCall.parse, plan["opened"])).text())
        options.append(f"seccomp={path}")
    if plan["unmasked"]:
        options.append("unmask=ALL" if client.engine == "podman" else UNMASKED.words)
    return options


def _watched(client: Client, caps: CapSet, plan: dict[str, Any]) -> dict[str, Any]:
    """The calls that the seccomp profile of a trial may refuse. For one of ours, capabilities open
    none."""
    closed = {} if plan["profile"] else opened_by(client.engine, everything() - caps)
    return {"closed": closed, "closable": frozenset(plan["closable"])}


def _programs(
    client: Client, image: str | None, plan: dict[str, Any], top: Path, label: str
) -> list[dict[str, Any]]:
    """The mounts of program files without their file capabilities, as compose has them."""
    mounts: list[dict[str, Any]] = []
    for number, path in enumerate(plan["uncapped"] if image else ()):
        with suppress(EngineError):  # it is not in the image
            client.copy_of(image or "", path, top / "copied", label)
            copy_plain(str(top / "copied"), copy := top / f"uncapped{number}")
            where = {"source": str(copy), "target": path}
            mounts.append({"type": "bind", "read_only": True, **where})
    return mounts


def _as_option(mount: dict[str, Any]) -> Option:
    fields = [f"{key}={mount[key]}" for key in ("type", "source", "target")]
    return Option("mount", ",".join([*fields, *(["readonly"] if "read_only" in mount else [])]))


def _volumes_of(
    invocation: Invocation, plan: dict[str, Any], data: TrialData, mounts: list[dict[str, str]]
) -> list[Option]:
    """The volumes of ``run``, with these mounts in place of those at the same path."""
    kept = [one for one in invocation.options if one.name in ("volume", "mount")]
    given = kept if plan["reuse_volumes"] else volumes.of_options(kept, data)
    covered = [mount["target"] for mount in mounts]
    left = [one for one in given if volumes.target_of(one) not in covered]
    return [*left, *map(_as_option, mounts)]


def _start(
    invocation: Invocation, client: Client, plan: dict[str, Any], top: Path, data: TrialData
) -> Start:
    caps = parse_set(plan["caps"])
    label = f"{TRIAL_LABEL}={procfs.mark()}"
    reuse, ports = plan["reuse_volumes"], FreePorts(always=True)
    opened = _opened(client, plan, top)
    watched, mounts = _watched(client, caps, plan), data.of_old_image(plan["filled"])
    if invocation.verb == "run":
        options = _volumes_of(invocation, plan, data, mounts)
        options += [Option("sysctl", setting) for setting in plan["settings"]]
        given = [option for option in invocation.options if option.name == "publish"]
        published = beside.options(given, ports, local=True)
        programs = _programs(client, invocation.image, plan, top, label)
        options += map(_as_option, programs)
        options += [*published, *(Option("security-opt", text) for text in opened)]
        ours = grant.tried(invocation, caps, top.name, label, options, _flags(plan))
        moved = tuple(ports.changed.items())
        return Start(invocation, client, ours.argv(), label, ports=moved, **watched)
    service = plan["service"]
    resolved = _resolved(invocation, plan)
    data.project = resolved
    services = {
        name: grant.in_trial(
            grant.tried_service(one, caps, _flags(plan)) if name == service else one,
            one.get("image") or f"{resolved['name']}-{name}",
            label,
            list(one.get("volumes") or ()) if reuse else volumes.of_service(one, data),
        )
        for name, one in resolved["services"].items()
    }
    secured = [*(services[service].get("security_opt") or ()), *opened]
    services[service]["security_opt"] = [*dict.fromkeys(secured)]  # compose refuses one said twice
    services[service] |= beside.published(resolved["services"][service], ports, local=True)
    programs = _programs(client, services[service]["image"], plan, top, label)
    by_target = {one.get("target"): one for one in [*services[service]["volumes"], *mounts]}
    services[service]["volumes"] = [*by_target.values(), *programs]
    changed = volumes.of_project({**resolved, "services": services}, reuse=reuse)
    if InPlace.of(client).of_project(resolved["name"]):
        changed = beside.on_own_networks(changed)
    path = project.write(changed, top, client.engine)
    ours = project.of_file(grant.in_front(invocation, top.name), path, top.name)
    return Start(
        *(invocation, client, ours.argv(), label),
        target=service,
        project=top.name,
        compose=top.name,
        names=tuple(resolved["services"]),
        ports=tuple(ports.changed.items()),
        **watched,
    )
