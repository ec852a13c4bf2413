"""Which files are compose files."""

from __future__ import annotations

from collections.abc import Mapping as Mapping_
from pathlib import PurePath

from capadvise.config.compose.project import NAMES
from capadvise.config.language import UnknownFile
from capadvise.config.yaml.reader import Documents, is_null
from capadvise.config.yaml.tree import EMPTY, Mapping, Node, entries, target

_KEYS = ("name", "version", "include", "networks", "volumes", "configs", "secrets")
_OF_SERVICES = (
    *("image", "build", "extends", "provider", "privileged", "cap_add", "cap_drop", "security_opt"),
    *("network_mode", "pid", "volumes", "volumes_from", "devices", "device_cgroup_rules"),
    *("use_api_socket", "post_start", "pre_stop"),
)


def claims(file: UnknownFile) -> bool:
    """By its services, or by its name where it is no Kubernetes object."""
    is_named = file.name.startswith(NAMES)
    if is_named and not file.text.strip():
        return True
    for root in file.roots:
        keys = entries(root)
        is_object = "kind" in keys or "apiVersion" in keys
        if is_named and not is_object and isinstance(target(root), Mapping):
            return True
        if _has_services(keys) or ("include" in keys and all(map(_is_key, keys))):
            return True
    return False


def meant(path: str, text: str) -> bool:
    """Other programs have files with services, too: theirs say nothing of containers."""
    if PurePath(path).name.startswith(NAMES):
        return True
    services = [entries(root).get("services", EMPTY) for root in Documents(text).roots]
    each = [entries(service) for group in services for service in entries(group).values()]
    return any(not keys.keys().isdisjoint(_OF_SERVICES) for keys in each)


def _has_services(keys: Mapping_[str, Node]) -> bool:
    node = target(keys.get("services", EMPTY))
    return isinstance(node, Mapping) or ("services" in keys and is_null(node))


def _is_key(key: str) -> bool:
    return key in _KEYS or key.startswith("x-")
