"""Sockets, timers and paths have no capabilities: the service that one starts is what is meant."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath

from capadvise.model.errors import BadInput
from capadvise.targets.systemd import manager
from capadvise.targets.systemd.invocation import ACTIVATORS, UnitOrder

PROPERTIES = ("LoadState", "ActiveState", "Triggers", "Accept")


def order_for(order: UnitOrder) -> UnitOrder:
    """The order that starts a service: this one, or for the service that its unit starts. Raises
    BadInput where there is no such service."""
    service = service_for(order.unit)
    if service == order.unit:
        return order
    return UnitOrder(order.verb, service, ("systemctl", order.verb, service))


def service_for(name: str) -> str:
    """The service that a unit starts; a service itself. Raises BadInput where there is none."""
    if PurePath(name).suffix not in ACTIVATORS:
        return name
    return service_of(name, manager.properties(name, PROPERTIES))


def service_of(name: str, said: Mapping[str, str]) -> str:
    """The service that a unit with these properties starts. Pure."""
    loaded = said.get("LoadState", "")
    if loaded == "not-found":
        raise BadInput(f"there is no unit {name}")
    if loaded != "loaded":
        raise BadInput(f"{name} cannot be started: systemd says {loaded}")
    if said.get("Accept") == "yes":
        raise BadInput(
            f"{name} starts a service of its own for each connection (Accept=yes): there is no "
            "one service to record",
            hint="record the program without its unit: capadvise run -- systemd-socket-activate "
            "--accept --inetd --listen=ADDRESS COMMAND",
        )
    services = [one for one in said.get("Triggers", "").split() if one.endswith(".service")]
    if len(services) != 1:
        what = " and ".join(services) or "no service"
        raise BadInput(
            f"{name} starts {what}: one service is recorded at a time",
            hint="capadvise run -- systemctl restart NAME.service",
        )
    if name.endswith(".socket") and said.get("ActiveState") != "active":
        raise BadInput(
            f"{name} is {said.get('ActiveState')}: {services[0]} would get no socket from it",
            hint=f"systemctl start {name}, then the same again",
        )
    return services[0]
