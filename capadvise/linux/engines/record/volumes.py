"""Volumes of a trial: what the container may write to is not the user's own. What it may only read
stays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from capadvise.formats.pflag import Option

Copy = Callable[[str], str]
"""A private copy of a folder or file of the host: its path. What cannot be copied, a socket or a
device, stays as it is."""


def of_options(options: Iterable[Option], copy: Copy) -> list[Option]:
    """``--volume`` and ``--mount`` of ``run``: bind mounts are copied, named volumes are fresh."""
    kept = []
    for option in options:
        if option.name == "volume":
            kept.append(Option("volume", _volume(option.value or "", copy)))
        elif option.name == "mount":
            kept.append(Option("mount", _mount(option.value or "", copy)))
    return kept


def _volume(text: str, copy: Copy) -> str:
    """``SOURCE:TARGET[:OPTIONS]``, or a target alone, which is fresh anyway."""
    source, colon, rest = text.partition(":")
    target, _, said = rest.partition(":")
    if not colon or "ro" in said.split(","):
        return text
    if source.startswith(("/", ".", "~")):
        return f"{copy(source)}:{rest}"
    return target


def _mount(text: str, copy: Copy) -> str:
    """``type=bind,source=…,target=…,readonly``."""
    fields = [field.partition("=") for field in text.split(",")]
    given = {name: value for name, _, value in fields}
    read_only = given.get("readonly", given.get("ro"))
    if read_only is not None and read_only != "false":
        return text
    kind = given.get("type", "volume")
    changed = []
    for name, equals, value in fields:
        if name in ("source", "src") and kind == "volume":
            continue
        if name in ("source", "src") and kind == "bind":
            value = copy(value)
        changed.append(f"{name}{equals}{value}")
    return ",".join(changed)


def of_service(service: Mapping[str, Any], copy: Copy) -> list[dict[str, Any]]:
    """The volumes of a service of a resolved project: named ones are fresh by the name of the
    trial's project."""
    found = []
    for volume in service.get("volumes") or ():
        if volume.get("type") == "bind" and not volume.get("read_only"):
            volume = {**volume, "source": copy(volume["source"])}
        found.append(dict(volume))
    return found


def of_project(project: Mapping[str, Any], *, reuse: bool) -> dict[str, Any]:
    """The project without the names that make it the user's own: volumes and networks are the
    trial's. External networks stay; external volumes are fresh, unless they are to be reused."""
    kept = {key: value for key, value in project.items() if key != "name"}
    if not reuse:
        kept["volumes"] = {
            name: {} if (volume or {}).get("external") else _nameless(volume)
            for name, volume in (project.get("volumes") or {}).items()
        }
    kept["networks"] = {
        name: network if (network or {}).get("external") else _nameless(network)
        for name, network in (project.get("networks") or {}).items()
    }
    return kept


def _nameless(item: Mapping[str, Any] | None) -> dict[str, Any]:
    return {key: value for key, value in (item or {}).items() if key != "name"}
