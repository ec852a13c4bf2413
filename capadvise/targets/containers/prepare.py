"""The start of a recording: as the user wrote it if nothing is up; else beside what is up, which
stays as it is; or, with ``--replace``, in its place, and then that is started again."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from capadvise.catalog import default
from capadvise.config.run.pflag import Option, is_on, value_of
from capadvise.kernel import procfs
from capadvise.model.caps import Cap, CapSet
from capadvise.targets.client.client import RECORDING_LABEL, STOPPED_LABEL, TRIAL_LABEL, Client
from capadvise.targets.client.container import Container
from capadvise.targets.client.invocation import Invocation
from capadvise.targets.containers import beside, grant, project, volumes
from capadvise.targets.containers.data import DataCopies, Noted, mountpoint
from capadvise.targets.containers.in_place import FreePorts, InPlace


@dataclass(frozen=True, slots=True)
class Start:
    """The start of containers, and the observed ones."""

    invocation: Invocation
    """The user's own call."""
    client: Client
    argv: tuple[str, ...]
    """The command that is really called."""
    label: str
    services: tuple[str, ...] = ()
    """The observed services of a compose project."""
    target: str | None = None
    """The one service that a trial is about."""
    project: str | None = None
    """Our own compose project, of which nothing stays."""
    others: str | None = None
    """The label of other services and new networks of a recording."""
    beside: bool = False
    """Its containers have names of our own."""
    compose: str | None = None
    """The name of the compose project, the user's own or ours."""
    names: tuple[str, ...] = ()
    """The names of all its services."""
    ports: tuple[tuple[int, int], ...] = ()
    """The user's published ports, and their replacements."""
    originals: Mapping[str, str] = field(default_factory=dict)
    """Copies of data, and what they are copies of."""
    granted: Mapping[str, CapSet] = field(default_factory=dict)
    """The set that the user's own configuration grants each service; ``run`` has an empty name."""
    stopped: tuple[Container, ...] = ()
    """The containers that are stopped before, and started again afterwards."""
    closed: Mapping[str, Cap] = field(default_factory=dict)
    """The calls that the engine's default seccomp profile refuses in a trial, and would allow with
    this capability."""
    closable: frozenset[str] = frozenset()
    """All calls that it may refuse, as far as these are of interest."""


def for_recording(
    invocation: Invocation,
    client: Client,
    folder: Path,
    say: Callable[[str], object],
    *,
    in_its_place: bool,
) -> Start:
    """Decide how a recording starts. ``folder`` is ours. ``say`` receives what is up, before
    anything is done. ``in_its_place``: what is up is stopped for the recording.

    Raises CannotObserve and BadInput if a recording is not possible this way.
    """
    plan = _Plan(invocation, client, InPlace.of(client), folder, say, in_its_place)
    if invocation.verb != "run":
        return _of_project(plan)
    return replace(_of_run(plan), granted={"": grant.granted_by_options(invocation, default())})


@dataclass(frozen=True, slots=True)
class _Plan:
    """The wanted recording, and the containers that are there."""

    invocation: Invocation
    client: Client
    there: InPlace
    folder: Path
    say: Callable[[str], object]
    in_its_place: bool
    mark: str = field(default_factory=procfs.mark)

    @property
    def label(self) -> str:
        """The label of containers that have every capability."""
        return f"{RECORDING_LABEL}={self.mark}"

    @property
    def own_name(self) -> str:
        """The name that replaces the user's."""
        return f"capadvise-recording-{self.mark}"


def _of_run(plan: _Plan) -> Start:
    invocation, client = plan.invocation, plan.client
    if invocation.image is not None:
        client.pull(invocation.image, value_of(invocation.options, "platform"))
    up = plan.there.named(invocation.name)
    if plan.in_its_place:
        users = {
            one.id: one
            for one in (*up, *_users(plan.invocation, plan.client, plan.there))
            if one.running
        }
        up = list(users.values())
    given = invocation
    if up:
        plan.say(_what_happens(up, in_its_place=plan.in_its_place))
        kept = tuple(one for one in invocation.options if one.name not in ("name", "replace"))
        given = replace(invocation, options=(*kept, Option("name", plan.own_name)))
    if plan.in_its_place:
        argv = grant.recorded(_noting(given, up), plan.label).argv()
        return Start(invocation, client, argv, plan.label, stopped=tuple(up))
    if up and value_of(given.options, "network") == "host":
        raise beside.not_twice(invocation.name or "")
    ports = FreePorts()
    copies = DataCopies(client, plan.folder, {})
    options = _on_free_data(plan, beside.options(given.options, ports), copies)
    return Start(
        *(invocation, client, grant.recorded(replace(given, options=options), plan.label).argv()),
        plan.label,
        beside=bool(up),
        ports=tuple(ports.changed.items()),
        originals=copies.originals,
    )


def _on_free_data(
    plan: _Plan, options: tuple[Option, ...], copies: DataCopies
) -> tuple[Option, ...]:
    """Copy the data that running containers write to."""
    changed: list[Option] = []
    for option in options:
        used = [
            one for source in _sources([option], plan.client) for one in plan.there.users_of(source)
        ]
        changed += volumes.of_options([option], copies) if used else [option]
        for one in used[:1]:
            plan.say(f"{one.name} writes to {option.value}: the recording uses a copy")
    return tuple(changed)


def _users(invocation: Invocation, client: Client, there: InPlace) -> list[Container]:
    """Running containers that write to the data of ``run``."""
    sources = _sources(invocation.options, client)
    return [one for source in sources for one in there.users_of(source)]


def _sources(options: Iterable[Option], client: Client) -> list[str]:
    """The folders and named volumes of options."""
    noted = Noted(client)
    volumes.of_options(options, noted)
    return noted.names


def _of_project(plan: _Plan) -> Start:
    invocation = plan.invocation
    resolved = project.config(invocation)
    services = project.targets(invocation, resolved)
    up = plan.there.of_project(resolved["name"])
    if not up:
        return _started(plan, resolved, services, resolved["name"])
    started = project.closure(resolved, services)
    if plan.in_its_place:
        up = [one for one in plan.there.of_project(resolved["name"], started) if one.running]
        plan.say(_what_happens(up, in_its_place=True))
        changed = project.in_place(resolved, lambda key: mountpoint(plan.client, key) is not None)
        own = _started(plan, changed, services, plan.own_name, up)
        return replace(own, stopped=tuple(up))
    plan.say(_what_happens(up, in_its_place=False))
    ports, built = FreePorts(), not is_on(invocation.options, "build")
    wanted = project.only(resolved, started)
    data = DataCopies(plan.client, plan.folder, resolved)
    changed = beside.project(wanted, data, ports, built=built)
    own = _started(plan, changed, services, plan.own_name)
    return replace(own, ports=tuple(ports.changed.items()), originals=data.originals)


def _started(
    plan: _Plan,
    changed: dict[str, Any],
    services: tuple[str, ...],
    name: str,
    stopped: Iterable[Container] = (),
) -> Start:
    """The start from a file of ours, under this name of a project."""
    granted = {
        service: grant.granted_by_service(
            changed["services"][service], plan.client.engine, default()
        )
        for service in services
    }
    ids = ",".join(one.id for one in stopped)
    more = {STOPPED_LABEL: ids} if ids else {}
    changed = project.recorded({**changed, "name": name}, services, plan.label, more)
    ours = {TRIAL_LABEL: plan.mark}
    there = plan.client.names("network", "")
    changed = project.labelled(changed, services, ours)
    changed = project.with_labelled_networks(changed, ours, there)
    path = project.write(changed, plan.folder, plan.client.engine)
    given = grant.recorded(plan.invocation, plan.label)
    argv = project.of_file(given, path, name).argv()
    return Start(
        *(plan.invocation, plan.client, argv, plan.label, services),
        project=name if name == plan.own_name else None,
        others=f"{TRIAL_LABEL}={plan.mark}",
        compose=name,
        names=tuple(changed["services"]),
        granted=granted,
    )


def _noting(invocation: Invocation, up: list[Container]) -> Invocation:
    """Note for the next capadvise what to start again, if this one is killed."""
    if not up:
        return invocation
    note = Option("label", f"{STOPPED_LABEL}={','.join(one.id for one in up)}")
    return replace(invocation, options=(*invocation.options, note))


def would_stop(invocation: Invocation, client: Client) -> list[Container]:
    """The containers that a recording in their place stops. Raises as ``for_recording`` does."""
    there = InPlace.of(client)
    if invocation.verb == "run":
        users = [*there.named(invocation.name), *_users(invocation, client, there)]
    else:
        resolved = project.config(invocation)
        started = project.closure(resolved, project.targets(invocation, resolved))
        users = there.of_project(resolved["name"], started)
    return list({one.id: one for one in users if one.running}.values())


def _what_happens(up: list[Container], *, in_its_place: bool) -> str:
    names = ", ".join(sorted(one.name for one in up))
    if in_its_place:
        return f"{names}: stopped for the recording, and started again afterwards"
    return f"{names}: not touched; the recording runs beside it, on copies of its data"
