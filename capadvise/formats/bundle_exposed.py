"""What a bundle's ``config.json`` gives of the host besides capabilities."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from capadvise.formats import host_paths
from capadvise.formats.declared import Exposure, ExposureAt

_NAMESPACES = {
    "network": Exposure.HOST_NETWORK,
    "pid": Exposure.HOST_PROCESSES,
    "ipc": Exposure.HOST_IPC,
    "uts": Exposure.HOST_NAME,
    "cgroup": Exposure.HOST_CGROUP,
}


def exposed(config: dict[str, Any]) -> Iterator[ExposureAt]:
    """All of a bundle. A file that is only to be merged into one says nothing of namespaces."""
    linux = config.get("linux") or {}
    if "namespaces" in linux:
        yield from _isolation(linux)
    yield from _folders(config)
    for item in _objects(linux.get("devices")):
        yield host_paths.device(str(item.get("path", "")), 1)
    for kind, hooks in (config.get("hooks") or {}).items():
        for hook in _objects(hooks):
            yield ExposureAt(Exposure.HOST_COMMAND, f"{kind} hook {hook.get('path', '')}", 1)


def _isolation(linux: dict[str, Any]) -> Iterator[ExposureAt]:
    own = {item.get("type") for item in _objects(linux["namespaces"]) if not item.get("path")}
    for name, exposure in _NAMESPACES.items():
        if name not in own:
            yield ExposureAt(exposure, f"no {name} namespace of its own", 1)
    if "user" in own:
        yield ExposureAt(Exposure.OWN_USERS, "a user namespace of its own", 1)
    if linux.get("seccomp") is None:
        yield ExposureAt(Exposure.UNFILTERED, "no seccomp filter", 1)
    if not linux.get("maskedPaths"):
        yield ExposureAt(Exposure.UNMASKED, "no maskedPaths", 1)


def _folders(config: dict[str, Any]) -> Iterator[ExposureAt]:
    root = config.get("root")
    if isinstance(root, dict):
        writable = root.get("readonly") is not True
        yield from host_paths.mounted(str(root.get("path", "")), 1, writable=writable)
    for mount in _objects(config.get("mounts")):
        options = [str(option) for option in mount.get("options") or []]
        if mount.get("type") == "bind" or {"bind", "rbind"} & set(options):
            source = str(mount.get("source", ""))
            yield from host_paths.mounted(source, 1, writable="ro" not in options)


def _objects(items: Any) -> list[dict[str, Any]]:
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
