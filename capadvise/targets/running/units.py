"""A unit that runs, to be watched as it is."""

from __future__ import annotations

from dataclasses import replace

from capadvise.model.errors import BadInput, CannotObserve
from capadvise.targets.running.restarts import first_process
from capadvise.targets.running.target import Running, target_of
from capadvise.targets.systemd import manager
from capadvise.targets.systemd.activators import service_for
from capadvise.targets.systemd.invocation import ACTIVATORS, RECORDED, restart_of, unit_name
from capadvise.targets.systemd.safety import require_own_processes, require_restartable
from capadvise.targets.systemd.unit import ServiceUnit


def is_unit(what: str) -> bool:
    """Whether it is named as a unit; containers have no such names, as a rule."""
    return what.endswith((*RECORDED, *ACTIVATORS))


def running_unit(what: str, *, restart: bool = False) -> Running:
    """``restart``: it is restarted, as it is, once it is watched. Raises BadInput where there is
    none, or nothing of it runs, or it must not be restarted."""
    unit = manager.known(service_for(unit_name(what)))
    require_own_processes(unit)
    if restart:
        require_restartable(unit)
    keeper = manager.pid()
    first = _first(unit, first_process(unit))
    order = restart_of(unit.name)
    target = replace(target_of(first, "unit"), name=unit.short_name, argv=order.argv)
    return Running(first, target, shim=keeper, unit=unit, restart=restart)


def main_process(what: str) -> int:
    """Of a unit. Raises BadInput where there is none."""
    unit = manager.known(service_for(unit_name(what)))
    try:
        return _first(unit, first_process(unit))
    except CannotObserve:  # only root may ask for its manager's process
        return _first(unit, unit.main)


def _first(unit: ServiceUnit, first: int) -> int:
    if first:
        return first
    raise BadInput(
        f"nothing of {unit.name} runs: it is {unit.active}",
        hint=f"capadvise run -- systemctl start {unit.short_name}",
    )
