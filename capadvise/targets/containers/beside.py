"""A recording that runs beside what is up: its own names, networks and data, and free ports.

Pure, but for what is passed in.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from capadvise.config.run.pflag import Option
from capadvise.model.errors import CannotObserve
from capadvise.targets.containers import volumes

Port = Callable[[int, str], int]
"""The port that stands for one of the user's, by its protocol."""
_HERE = r"localhost|127\.0\.0\.1|\[::1\]|0\.0\.0\.0"
_STATIC = ("ipv4_address", "ipv6_address", "link_local_ips", "mac_address")
_PUBLISHED = re.compile(r"(?:(?P<ip>[0-9.]+|\[[^]]*\]):)?(?P<host>\d+):(?P<rest>\d+(?:/(\w+))?)")


def project(
    resolved: Mapping[str, Any], data: volumes.Data, port: Port, *, built: bool
) -> dict[str, Any]:
    """A resolved compose project under another name. ``built``: what the project has built is not
    built again.

    Raises CannotObserve for what cannot be there twice.
    """
    services = {
        name: _service(f"{resolved['name']}-{name}", name, service, data, port, built=built)
        for name, service in resolved["services"].items()
    }
    used = {volume.get("source") for one in services.values() for volume in one["volumes"]}
    fresh: dict[str, Any] = {key: {} for key in resolved.get("volumes") or {} if key in used}
    kept = {key: value for key, value in resolved.items() if key != "name"}
    return on_own_networks({**kept, "services": services, "volumes": fresh})


def _service(
    image: str,
    name: str,
    service: Mapping[str, Any],
    data: volumes.Data,
    port: Port,
    *,
    built: bool,
) -> dict[str, Any]:
    """``image``: as compose calls what it builds."""
    if service.get("network_mode") == "host":
        raise not_twice(name)
    gone = {"container_name", "ports", "volumes", *(("build",) if built else ())}
    changed = {key: value for key, value in service.items() if key not in gone}
    if "build" in service:
        changed["image"] = service.get("image") or image
    changed["volumes"] = volumes.of_service(service, data)
    return changed | published(service, port)


def on_own_networks(project: Mapping[str, Any]) -> dict[str, Any]:
    """A project whose networks are its own: on the user's, names of services would stand for ours,
    too, and the addresses are taken."""
    gone = ("name", "external", "ipam")
    networks = {
        key: {k: v for k, v in (item or {}).items() if k not in gone}
        for key, item in (project.get("networks") or {}).items()
    }
    services = {name: _without_addresses(one) for name, one in project["services"].items()}
    return {**project, "networks": networks, "services": services}


def _without_addresses(service: Mapping[str, Any]) -> dict[str, Any]:
    changed = {key: value for key, value in service.items() if key != "mac_address"}
    if isinstance(networks := service.get("networks"), dict):
        changed["networks"] = {
            key: {k: v for k, v in (item or {}).items() if k not in _STATIC}
            for key, item in networks.items()
        }
    return changed


def not_twice(name: str) -> CannotObserve:
    """The error for a container that uses the host's network."""
    return CannotObserve(
        f"{name} uses the host's network, whose ports the running one occupies",
        hint="--replace stops the running one for the recording, and starts it again",
    )


def published(service: Mapping[str, Any], port: Port, *, local: bool = False) -> dict[str, Any]:
    """The published ports of a service, on free ones. ``local``: for this machine alone."""
    ports = [_port(item, port) for item in service.get("ports") or ()]
    return {"ports": [{**one, "host_ip": "127.0.0.1"} if local else one for one in ports]}


def _port(item: Mapping[str, Any], port: Port) -> dict[str, Any]:
    published = str(item.get("published") or "")
    if not published.isdecimal():  # none, or a range: the engine chooses
        return {key: value for key, value in item.items() if key != "published"}
    return {**item, "published": str(port(int(published), item.get("protocol") or "tcp"))}


def options(given: Iterable[Option], port: Port, *, local: bool = False) -> tuple[Option, ...]:
    """The options of ``run``, with free published ports. ``local``: for this machine alone."""
    return tuple(
        Option("publish", _published(option.value or "", port, local=local))
        if option.name == "publish"
        else option
        for option in given
    )


def _published(text: str, port: Port, *, local: bool) -> str:
    parts = _PUBLISHED.fullmatch(text)
    if parts is None:
        return text
    ip = "127.0.0.1:" if local else f"{parts['ip']}:" if parts["ip"] else ""
    protocol = parts[4] or "tcp"
    return f"{ip}{port(int(parts['host']), protocol)}:{parts['rest']}"


def check_of(script: str, ports: Mapping[int, int]) -> str:
    """A health check that reaches a recording whose ports are others: where it names one of this
    machine's literally, it gets the one that stands for it; ``PORT_8123`` tells it too."""
    for old, new in ports.items():
        script = re.sub(rf"(?<![\w.])({_HERE}):{old}(?!\d)", rf"\1:{new}", script)
    given = "".join(f"export PORT_{old}={new}\n" for old, new in ports.items())
    return given + script
