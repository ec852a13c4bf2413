"""What a compose service has of the host besides its capabilities."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from capadvise.formats import host_paths
from capadvise.formats.declared import Exposure, ExposureAt
from capadvise.formats.yaml_reader import Documents, Entries, line, optional_text, text
from capadvise.formats.yaml_tree import Mapping as MappingNode
from capadvise.formats.yaml_tree import Node

_NAMESPACES = {
    "pid": Exposure.HOST_PROCESSES,
    "ipc": Exposure.HOST_IPC,
    "uts": Exposure.HOST_NAME,
    "network_mode": Exposure.HOST_NETWORK,
    "cgroup": Exposure.HOST_CGROUP,
}
SWITCHES = tuple(_NAMESPACES)
"""Keys with one value that matters."""
_OPTIONS = {
    ("seccomp", "unconfined"): Exposure.UNFILTERED,
    ("apparmor", "unconfined"): Exposure.UNCONFINED,
    ("label", "disable"): Exposure.UNCONFINED,
    ("systempaths", "unconfined"): Exposure.UNMASKED,
    ("unmask", "all"): Exposure.UNMASKED,
    ("writable-cgroups", "true"): Exposure.HOST_CGROUP,
}


def exposed(
    documents: Documents, keys: Entries, folders: Mapping[str, str]
) -> Iterator[ExposureAt]:
    """All of a service. ``folders``: the host's, by the names of volumes that bind them."""
    for key, exposure in _NAMESPACES.items():
        said = host_paths.expand(optional_text(keys.get(key), key) or "").strip().lower()
        if said == "host":
            yield ExposureAt(exposure, f"{key}: host", line(keys[key]))
        elif key == "pid" and said:
            yield ExposureAt(Exposure.SHARED_PROCESSES, f"pid: {said}", line(keys[key]))
    for option, at in documents.texts(keys.get("security_opt"), "security_opt"):
        yield from security_option(option, at)
    for node in documents.items(keys.get("volumes"), "volumes"):
        yield from _volume(documents, node, folders)
    for node in documents.items(keys.get("devices"), "devices"):
        yield host_paths.device(_device(documents, node), line(node))
    rules = documents.texts(keys.get("device_cgroup_rules"), "device_cgroup_rules")
    for rule, at in rules:
        yield from host_paths.device_rule(rule, at)
    yield from _privileged_commands(documents, keys)
    if _is_on(keys.get("use_api_socket")):
        yield ExposureAt(Exposure.CONTROL_SOCKET, "use_api_socket", line(keys["use_api_socket"]))


def security_option(option: str, at: int) -> Iterator[ExposureAt]:
    """What a ``security_opt`` opens, as docker and podman spell it."""
    name, _, value = option.replace("=", ":", 1).partition(":")
    exposure = _OPTIONS.get((name.strip().lower(), host_paths.expand(value).strip().lower()))
    if exposure is None and name.strip().lower() == "unmask":
        exposure = Exposure.UNMASKED
    if exposure is not None:
        yield ExposureAt(exposure, option, at)


def bound_volumes(documents: Documents, top: Entries) -> dict[str, str]:
    """The folders of the host that named volumes stand for."""
    folders = {}
    for name, node in documents.mapping(top.get("volumes"), "volumes").items():
        volume = documents.mapping(node, f"volume {name!r:.80}")
        options = documents.mapping(volume.get("driver_opts"), "driver_opts")
        if device := optional_text(options.get("device"), "device"):
            folders[name] = device
    return folders


def _volume(documents: Documents, node: Node, folders: Mapping[str, str]) -> Iterator[ExposureAt]:
    source, writable = _source(documents, node, "a volume")
    yield from host_paths.mounted(folders.get(source, source), line(node), writable=writable)


def _source(documents: Documents, node: Node, what: str) -> tuple[str, bool]:
    """What is taken from the host, and whether for writing; short and long syntax."""
    if isinstance(node, MappingNode):
        keys = documents.mapping(node, what)
        source = optional_text(keys.get("source"), "source")
        source = source or optional_text(keys.get("src"), "src") or ""
        return source, not _is_on(keys.get("read_only"))
    source, *rest = split_mount(text(node, what))
    modes = rest[-1].split(",") if len(rest) > 1 else []
    return source if rest else "", "ro" not in modes


def _device(documents: Documents, node: Node) -> str:
    if isinstance(node, MappingNode):
        return _source(documents, node, "a device")[0]
    return split_mount(text(node, "a device"))[0]


def split_mount(mount: str) -> list[str]:
    """``source:target:modes`` at colons that stand in no variable."""
    return host_paths.expand_variables(mount).split(":")


def _privileged_commands(documents: Documents, keys: Entries) -> Iterator[ExposureAt]:
    for key in ("post_start", "pre_stop"):
        for node in documents.items(keys.get(key), key):
            hook = documents.mapping(node, f"an item of {key}")
            if _is_on(hook.get("privileged")):
                at = line(hook["privileged"])
                yield ExposureAt(Exposure.PRIVILEGED_COMMAND, f"a privileged {key} hook", at)
    if not isinstance(keys.get("build"), MappingNode):
        return
    build = documents.mapping(keys["build"], "build")
    if _is_on(build.get("privileged")):
        yield ExposureAt(
            Exposure.PRIVILEGED_COMMAND, "a privileged build", line(build["privileged"])
        )
    for item, at in documents.texts(build.get("entitlements"), "entitlements"):
        if item == "security.insecure":
            yield ExposureAt(Exposure.PRIVILEGED_COMMAND, "a build with security.insecure", at)


def _is_on(node: Node | None) -> bool:
    """Whether a switch is on, or can be: a variable is settled elsewhere."""
    said = optional_text(node, "a switch")
    return said is not None and said.lower() not in ("false", "0", "f", "n", "no", "off")


def unjudged(keys: Entries) -> Iterator[tuple[str, int]]:
    """What gives more that does not stand in the file."""
    if "provider" in keys:
        yield "a provider on the host starts it", line(keys["provider"])
    if "volumes_from" in keys:
        yield "it mounts the volumes of other containers", line(keys["volumes_from"])
