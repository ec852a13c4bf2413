"""What a bundle's ``config.json`` gives of the host besides capabilities."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from capadvise.config import host_paths
from capadvise.config.declared import Exposure, ExposureAt

_NAMESPACES = {
    "network": Exposure.HOST_NETWORK,
    "pid": Exposure.HOST_PROCESSES,
    "ipc": Exposure.HOST_IPC,
    "uts": Exposure.HOST_NAME,
    "cgroup": Exposure.HOST_CGROUP,
}


_KERNEL_SYSTEMS = ("bpf", "configfs", "debugfs", "efivarfs", "securityfs", "sysfs", "tracefs")
_PASSING = ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG")


def exposed(config: dict[str, Any]) -> Iterator[ExposureAt]:
    """All of a bundle. A file that is only to be merged into one says nothing of namespaces."""
    linux = config.get("linux") or {}
    if "namespaces" in linux or "root" in config:
        yield from _isolation(linux)
    yield from _folders(config)
    yield from _devices(linux)
    process = config.get("process") or {}
    if process.get("apparmorProfile") == "unconfined":
        yield ExposureAt(Exposure.UNCONFINED, "apparmorProfile: unconfined", 1)
    label = str(process.get("selinuxLabel") or "")
    if {"spc_t", "unconfined_t", "container_runtime_t"} & set(label.split(":")):
        yield ExposureAt(Exposure.UNCONFINED, f"selinuxLabel: {label}", 1)
    for kind, hooks in (config.get("hooks") or {}).items():
        for hook in _objects(hooks):
            yield ExposureAt(Exposure.HOST_COMMAND, f"{kind} hook {hook.get('path', '')}", 1)


def _isolation(linux: dict[str, Any]) -> Iterator[ExposureAt]:
    namespaces = _objects(linux.get("namespaces"))
    own = {item.get("type") for item in namespaces if not item.get("path")}
    for name, exposure in _NAMESPACES.items():
        if name not in own:
            yield ExposureAt(exposure, f"no {name} namespace of its own", 1)
    if "user" in own:
        yield ExposureAt(Exposure.OWN_USERS, "a user namespace of its own", 1)
    if not filters(linux.get("seccomp")):
        yield ExposureAt(Exposure.UNFILTERED, "no seccomp filter", 1)
    for name in ("maskedPaths", "readonlyPaths"):
        if not linux.get(name):
            yield ExposureAt(Exposure.UNMASKED, f"no {name}", 1)


def filters(seccomp: Any) -> bool:
    """Whether a filter forbids anything."""
    if not isinstance(seccomp, dict):
        return False
    rules = _objects(seccomp.get("syscalls"))
    actions = [seccomp.get("defaultAction"), *(rule.get("action") for rule in rules)]
    return any(action not in _PASSING for action in actions)


def _devices(linux: dict[str, Any]) -> Iterator[ExposureAt]:
    """By their numbers: the path is only what the container calls it."""
    for item in _objects(linux.get("devices")):
        path = str(item.get("path", ""))
        disk = host_paths.is_disk(*_numbers(item))
        yield ExposureAt(Exposure.DISK, path, 1) if disk else host_paths.device(path, 1)
    for rule in _objects((linux.get("resources") or {}).get("devices")):
        kind, major, minor = _numbers(rule)
        reaches = not {"r", "w"}.isdisjoint(str(rule.get("access") or "rwm"))
        if rule.get("allow") is True and reaches and host_paths.is_disk(kind, major, minor):
            said = f"device rule {kind} {major or '*'}:{minor or '*'}"
            yield ExposureAt(Exposure.DISK, said, 1)


def _numbers(item: dict[str, Any]) -> tuple[str, str, str]:
    """Kind, major and minor; empty numbers are all of them."""
    numbers = (item.get("major"), item.get("minor"))
    major, minor = ("" if number in (None, -1) else str(number) for number in numbers)
    return str(item.get("type") or "a"), major, minor


def _folders(config: dict[str, Any]) -> Iterator[ExposureAt]:
    root = config.get("root")
    if isinstance(root, dict):
        writable = root.get("readonly") is not True
        yield from host_paths.mounted(str(root.get("path", "")), 1, writable=writable)
    for mount in _objects(config.get("mounts")):
        yield from _mount(mount)


def _mount(mount: dict[str, Any]) -> Iterator[ExposureAt]:
    options = [str(option) for option in mount.get("options") or []]
    kind, source = mount.get("type"), str(mount.get("source", ""))
    writable = "ro" not in options and "rro" not in options
    if kind == "devtmpfs":
        yield ExposureAt(Exposure.DISK, "a devtmpfs", 1)
    elif kind in _KERNEL_SYSTEMS and writable:
        yield ExposureAt(Exposure.UNMASKED, f"a {kind} for writing", 1)
    elif kind == "bind" or {"bind", "rbind"} & set(options) or source.startswith("/dev/"):
        yield from host_paths.mounted(source, 1, writable=writable)
    for option in options:
        name, _, folders = option.partition("=")
        if name in ("lowerdir", "upperdir"):
            for folder in folders.split(":"):
                yield from host_paths.mounted(folder, 1, writable=name == "upperdir")


def _objects(items: Any) -> list[dict[str, Any]]:
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
