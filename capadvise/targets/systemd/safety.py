"""Units that must not be restarted, because they carry the session or all other programs; and units
whose program runs in a container."""

import os
from collections.abc import Iterator, Sequence
from pathlib import PurePath

from capadvise.kernel import procfs
from capadvise.model.target import short_unit
from capadvise.targets.client import invocation
from capadvise.targets.systemd.neighbours import Neighbours, require_harmless
from capadvise.targets.systemd.refusals import refused
from capadvise.targets.systemd.unit import ServiceUnit
from capadvise.targets.systemd.unit_starts import in_unit

_CARRY_OTHERS = {
    "dbus": "every program that talks over D-Bus",
    "dbus-broker": "every program that talks over D-Bus",
    "systemd-logind": "the sessions of all users",
    "systemd-journald": "what every unit writes",
    "systemd-udevd": "every device",
}


def require_restartable(
    unit: ServiceUnit, around: Neighbours | None = None, *, allow: bool = False
) -> None:
    """Raise BadInput with the reason if a restart would end more than the unit. ``around``: it is
    also stopped for a while, or fails, and so must be harmless; see ``require_harmless``."""
    if not unit.manual:
        raise refused("not by hand", name=unit.name)
    above = list(_above())
    for name in (unit.name, *(around.stops if around else ())):
        carried = _CARRY_OTHERS.get(short_unit(name))
        if name.startswith("user@"):
            carried = "all that a user runs"
        if any(in_unit(pid, name) for pid in above):
            carried = "this very session"
        if carried:
            which = "it" if name == unit.name else f"{name} stops with it, and"
            raise refused("carries", name=unit.name, which=which, carried=carried)
    if around:
        require_harmless(unit.name, around, allow=allow)


def require_own_processes(unit: ServiceUnit) -> None:
    """Raise BadInput if the unit runs a container: its set is only that of the engine's client."""
    for one in unit.commands:
        words = one.words.split()
        if one.setting == "ExecStart" and words and (start := _container_start(words)):
            client, hint = start
            raise refused("container", name=unit.name, client=client, hint=hint)


def _container_start(words: Sequence[str]) -> tuple[str, str] | None:
    """The client that a command line starts a container with, and the hint for it."""
    client, name = PurePath(words[0]).name, None
    if run := invocation.recognize(words):
        composer = PurePath(run.compose[-1]).name if run.compose else "compose"
        of_engine = composer == "compose"  # docker compose, and not docker-compose
        client, name = run.engine if of_engine else composer, run.name
        again = f"{client} {run.verb if of_engine else run.verb.split()[-1]}"
    elif existing := invocation.existing(words):
        _, again = existing
    elif other := invocation.starts_otherwise(words):
        return client, other[1]
    else:
        return None
    return client, (
        f"watch the container: capadvise attach {name or 'CONTAINER'}; or stop the unit, "
        f"and record its ExecStart=: capadvise run -- {again} …"
    )


def _above() -> Iterator[int]:
    """This process and those above it, without pid 1: its group is not a service's."""
    pid = os.getpid()
    while pid > 1:
        yield pid
        pid = procfs.parent(pid)
