"""Volumes of a trial: the container does not write to the user's own. Read-only data stays."""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from capadvise.config.run.pflag import Option

_TARGETS = ("target", "destination", "dst")
_Field = tuple[str, str, str]
"""One field of a mount: its name, ``=``, its value."""


class Data(Protocol):
    """The replacement of the user's data."""

    def bind(self, source: str, target: str) -> str | None:
        """A folder or file that replaces one of the host; None: a new volume replaces it. A socket
        or a device stays. ``target``: its path in the container."""

    def volume(self, name: str) -> str | None:
        """A folder for a named volume; None: a new volume."""


def of_options(options: Iterable[Option], data: Data) -> list[Option]:
    """``--volume`` and ``--mount`` of ``run``."""
    kept = []
    for option in options:
        if option.name == "volume":
            kept.append(Option("volume", _volume(option.value or "", data)))
        elif option.name == "mount":
            kept.append(Option("mount", _mount(option.value or "", data)))
    return kept


def target_of(option: Option) -> str:
    """The path in the container of a ``--volume`` or ``--mount``."""
    text = option.value or ""
    if option.name == "volume":
        source, colon, rest = text.partition(":")
        return rest.partition(":")[0].rstrip("/") if colon else source
    fields = dict(field.partition("=")[::2] for field in text.split(","))
    return next((fields[name] for name in _TARGETS if name in fields), "").rstrip("/")


def _volume(text: str, data: Data) -> str:
    """``SOURCE:TARGET[:OPTIONS]``, or a target alone, which is fresh anyway."""
    source, colon, rest = text.partition(":")
    target, _, flags = rest.partition(":")
    if not colon or "ro" in flags.split(","):
        return text
    of_host = source.startswith(("/", ".", "~"))
    folder = data.bind(source, target) if of_host else data.volume(source)
    return target if folder is None else f"{folder}:{rest}"


def _mount(text: str, data: Data) -> str:
    """``type=bind,source=…,target=…,readonly``."""
    fields = [field.partition("=") for field in text.split(",")]
    given = {name: value for name, _, value in fields}
    read_only = given.get("readonly", given.get("ro"))
    if read_only is not None and read_only != "false":
        return text
    kind = given.get("type", "volume")
    source = given.get("source", given.get("src"))
    if source is None or kind not in ("volume", "bind"):
        return text
    folder = (
        data.bind(source, target_of(Option("mount", text)))
        if kind == "bind"
        else data.volume(source)
    )
    kept = _new_volume(fields) if folder is None else _bound(fields, folder)
    return ",".join(map("".join, kept))


def _new_volume(fields: Iterable[_Field]) -> list[_Field]:
    return [
        (name, equals, "volume" if name == "type" else value)
        for name, equals, value in fields
        if name not in ("source", "src") and not name.startswith("bind-")
    ]


def _bound(fields: Iterable[_Field], folder: str) -> list[_Field]:
    kept = [
        (name, equals, folder if name in ("source", "src") else value)
        for name, equals, value in fields
        if name != "type" and not name.startswith("volume-")
    ]
    return [("type", "=", "bind"), *kept]


def of_service(service: Mapping[str, Any], data: Data) -> list[dict[str, Any]]:
    """The volumes of a service of a resolved project; the trial's project names the new ones."""
    changed = []
    for volume in service.get("volumes") or ():
        if not volume.get("read_only") and volume.get("source"):
            folder = None
            if volume.get("type") == "bind":
                folder = data.bind(volume["source"], str(volume.get("target") or ""))
                if folder is None:
                    volume = {"type": "volume", "target": volume.get("target")}
            elif volume.get("type") == "volume":
                folder = data.volume(volume["source"])
            if folder is not None:
                kept = {key: value for key, value in volume.items() if key != "volume"}
                volume = {**kept, "type": "bind", "source": folder}
        changed.append(dict(volume))
    return changed


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
