"""Units that are not restarted: those that carry whoever asks for it, or every other one."""

from __future__ import annotations

import os
from collections.abc import Iterator

from capadvise.errors import BadInput
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


def _above() -> Iterator[int]:
    """We, and all processes above us but the first, whose group is not a service's."""
    pid = os.getpid()
    while pid > 1:
        yield pid
        pid = procfs.parent(pid)
