"""Units that are not restarted: those that carry whoever asks for it, or every other one. And those
whose program runs elsewhere, in a container."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import PurePath

from capadvise.errors import BadInput
from capadvise.linux.engines.cli import invocation
from capadvise.linux.engines.systemd.unit import ServiceUnit
from capadvise.linux.engines.systemd.unit_starts import in_unit
from capadvise.linux.kernel import procfs

_CARRY_OTHERS = {
    "dbus": "every program that talks over D-Bus",
    "dbus-broker": "every program that talks over D-Bus",
    "systemd-logind": "the sessions of all users",
    "systemd-journald": "what every unit writes",
    "systemd-udevd": "every device",
}
_USERS_MANAGER = "user@"


def require_restartable(unit: ServiceUnit) -> None:
    """Raises BadInput with the reason where a restart would end more than the unit."""
    if not unit.manual:
        raise BadInput(f"{unit.name}: systemd lets nobody start it by hand")
    carried = _CARRY_OTHERS.get(unit.short_name)
    if unit.name.startswith(_USERS_MANAGER):
        carried = "all that a user runs"
    if any(in_unit(pid, unit.name) for pid in _above()):
        carried = "this very session"
    if carried:
        raise BadInput(
            f"{unit.name} is not restarted: it carries {carried}",
            hint=f"record it as it runs: capadvise attach {unit.name}",
        )


def require_own_processes(unit: ServiceUnit) -> None:
    """Raises BadInput with what to type instead where an engine is told to run a container: the
    unit's set is the engine's client's, and what podman needs to make a container at that."""
    started = [one.words.split() for one in unit.commands if one.setting == "ExecStart"]
    for words in filter(None, started):
        run = invocation.recognize(words)
        if not (run or invocation.existing(words) or invocation.starts_otherwise(words)):
            continue
        client = PurePath(words[0]).name
        name, verb = (run.name, run.verb) if run else (None, "run")
        raise BadInput(
            f"{unit.name} starts a container, with {client}: its capabilities are the container's, "
            "not the unit's",
            hint=f"watch the container: capadvise attach {name or 'CONTAINER'}; or stop the unit, "
            f"and record its ExecStart=: capadvise run -- {client} {verb} …",
        )


def _above() -> Iterator[int]:
    """We, and all processes above us but the first, whose group is not a service's."""
    pid = os.getpid()
    while pid > 1:
        yield pid
        pid = procfs.parent(pid)
