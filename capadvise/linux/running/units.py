"""A unit that runs, to be watched as it is."""

from __future__ import annotations

from dataclasses import replace

from capadvise.errors import BadInput
from capadvise.linux.engines.systemd import manager
from capadvise.linux.engines.systemd.invocation import restart_of, unit_name
from capadvise.linux.engines.systemd.unit_starts import processes
from capadvise.linux.kernel import procfs
from capadvise.linux.running.target import Running, target_of


def is_unit(what: str) -> bool:
    """Whether it is named as a unit; containers have no such names, as a rule."""
    return what.endswith(".service")


def running_unit(what: str) -> Running:
    """Raises BadInput where there is none, or nothing of it runs."""
    unit = manager.known(unit_name(what))
    keeper = manager.pid()
    pids = processes(unit.name)
    if not pids:
        raise BadInput(
            f"nothing of {unit.name} runs: it is {unit.active}",
            hint=f"capadvise run -- systemctl start {unit.short_name}",
        )
    below = [pid for pid in pids if procfs.parent(pid) == keeper]
    first = unit.main if keeper == 1 and unit.main in pids else (below or pids)[0]
    order = restart_of(unit.name)
    target = replace(target_of(first, "unit"), name=unit.short_name, argv=order.argv)
    return Running(first, target, shim=keeper, unit=unit)
