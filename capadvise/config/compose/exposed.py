"""What a compose service has of the host besides its capabilities."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from capadvise.config import host_paths
from capadvise.config.declared import Exposure, ExposureAt
from capadvise.config.run.exposed import security_option
from capadvise.config.yaml.reader import Documents, Entries, line, optional_text, text
from capadvise.config.yaml.tree import Mapping as MappingNode
from capadvise.config.yaml.tree import Node

_NAMESPACES = {
    "pid": Exposure.HOST_PROCESSES,
    "ipc": Exposure.HOST_IPC,
    "uts": Exposure.HOST_NAME,
    "network_mode": Exposure.HOST_NETWORK,
    "cgroup": Exposure.HOST_CGROUP,
}
_SERVICE = "service:"
SWITCHES = tuple(_NAMESPACES)
"""Keys with one value that matters."""
TRUE = ("true", "1", "t", "y", "yes", "on")
FALSE = ("false", "0", "f", "n", "no", "off")


@dataclass(slots=True)
class Project:
    """What a compose file says outside of its services that services refer to."""

    folder: str = ""
    """Where it lies: relative paths begin there. Empty where nobody knows."""
    volumes: dict[str, list[str]] = field(default_factory=dict)
    """The folders of the host that named volumes stand for."""
    files: dict[tuple[str, str], str] = field(default_factory=dict)
    """(``secrets`` or ``configs``, name) → the host's file that is mounted."""
    host_networks: set[str] = field(default_factory=set)
    """Networks that are the host's own, as swarm names it."""

    @classmethod
    def of(cls, documents: Documents, top: Entries, folder: str) -> Project:
        project = cls(folder)
        for name, volume in _named(documents, top, "volumes"):
            options = documents.mapping(volume.get("driver_opts"), "driver_opts")
            device = optional_text(options.get("device"), "device") or ""
            more = optional_text(options.get("o"), "o") or ""
            layers = [part.partition("=")[2] for part in more.split(",")]
            project.volumes[name] = [path for each in (device, *layers) for path in each.split(":")]
        for group in ("secrets", "configs"):
            for name, item in _named(documents, top, group):
                project.files[group, name] = optional_text(item.get("file"), "file") or ""
        for name, network in _named(documents, top, "networks"):
            called = optional_text(network.get("name"), "name") or name
            if called == "host" and "external" in network:
                project.host_networks.add(name)
        return project

    def variables(self, source: str) -> Iterator[str]:
        """What of a volume, a file or a folder is settled elsewhere."""
        yield from filter(host_paths.has_variable, self.volumes.get(source, [source]))

    def mounted(self, source: str, at: int, *, writable: bool) -> Iterator[ExposureAt]:
        """What a volume, a file or a folder exposes."""
        for path in self.volumes.get(source, [source]):
            nearer = host_paths.below(self.folder, path)
            judged = list(host_paths.mounted(nearer, at, writable=writable))
            yield from judged or host_paths.mounted(path, at, writable=writable)


def _named(documents: Documents, top: Entries, group: str) -> Iterator[tuple[str, Entries]]:
    for name, node in documents.mapping(top.get(group), group).items():
        yield name, documents.mapping(node, f"{name!r:.80} of {group}")


def exposed(documents: Documents, keys: Entries, project: Project) -> Iterator[ExposureAt]:
    """All of a service."""
    for key, exposure in _NAMESPACES.items():
        said = host_paths.expand(optional_text(keys.get(key), key) or "").strip().lower()
        if said == "host":
            yield ExposureAt(exposure, f"{key}: host", line(keys[key]))
        elif key == "pid" and said:
            yield ExposureAt(Exposure.SHARED_PROCESSES, f"pid: {said}", line(keys[key]))
    for option, at in documents.texts(keys.get("security_opt"), "security_opt"):
        yield from security_option(option, at)
    yield from _networks(documents, keys, project)
    yield from _mounts(documents, keys, project)
    for node in documents.items(keys.get("devices"), "devices"):
        yield host_paths.device(_device(documents, node), line(node))
    rules = documents.texts(keys.get("device_cgroup_rules"), "device_cgroup_rules")
    for rule, at in rules:
        yield from host_paths.device_rule(rule, at)
    yield from _privileged_commands(documents, keys)
    if _is_on(keys.get("use_api_socket")):
        yield ExposureAt(Exposure.CONTROL_SOCKET, "use_api_socket", line(keys["use_api_socket"]))


def joined(keys: Entries) -> Iterator[tuple[str, str, int]]:
    """(key, service, line) of the namespaces that are those of another service."""
    for key in SWITCHES:
        said = optional_text(keys.get(key), key) or ""
        if said.startswith(_SERVICE):
            yield key, said.removeprefix(_SERVICE), line(keys[key])


def exposed_by(key: str, owner: Sequence[ExposureAt], other: str, at: int) -> Iterator[ExposureAt]:
    """What a namespace exposes that another service has from the host."""
    if any(item.kind is _NAMESPACES[key] for item in owner):
        yield ExposureAt(_NAMESPACES[key], f"{key}: {_SERVICE}{other}", at)


def _networks(documents: Documents, keys: Entries, project: Project) -> Iterator[ExposureAt]:
    node = keys.get("networks")
    if isinstance(node, MappingNode):
        names = [(name, line(node)) for name in documents.mapping(node, "networks")]
    else:
        names = documents.texts(node, "networks")
    for name, at in names:
        if name in project.host_networks:
            yield ExposureAt(Exposure.HOST_NETWORK, f"the network {name}", at)


def _mounts(documents: Documents, keys: Entries, project: Project) -> Iterator[ExposureAt]:
    """Volumes, and the files that secrets and configs are."""
    for source, at, writable in _sources(documents, keys, project):
        yield from project.mounted(source, at, writable=writable)


def _sources(
    documents: Documents, keys: Entries, project: Project
) -> Iterator[tuple[str, int, bool]]:
    for node in documents.items(keys.get("volumes"), "volumes"):
        source, writable = _source(documents, node, "a volume")
        yield source, line(node), writable
    for group in ("secrets", "configs"):
        for node in documents.items(keys.get(group), group):
            if isinstance(node, MappingNode):
                inner = documents.mapping(node, f"an item of {group}")
                name = optional_text(inner.get("source"), "source") or ""
            else:
                name = text(node, f"an item of {group}")
            yield project.files.get((group, name), ""), line(node), False


def _source(documents: Documents, node: Node, what: str) -> tuple[str, bool]:
    """What is taken from the host, and whether for writing; short and long syntax."""
    if isinstance(node, MappingNode):
        keys = documents.mapping(node, what)
        source = optional_text(keys.get("source"), "source")
        source = source or optional_text(keys.get("src"), "src") or ""
        read_only = optional_text(keys.get("read_only"), "read_only") or ""
        return source, host_paths.expand_variables(read_only).lower() not in TRUE
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
    develop = documents.mapping(keys.get("develop"), "develop")
    for node in documents.items(develop.get("watch"), "watch"):
        command = documents.mapping(node, "an item of watch").get("exec")
        if isinstance(command, MappingNode):
            inner = documents.mapping(command, "exec")
            if _is_on(inner.get("privileged")):
                at = line(inner["privileged"])
                yield ExposureAt(Exposure.PRIVILEGED_COMMAND, "a privileged command of watch", at)
    yield from _privileged_builds(documents, keys)


def _privileged_builds(documents: Documents, keys: Entries) -> Iterator[ExposureAt]:
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
    return said is not None and said.lower() not in FALSE


def variables(documents: Documents, keys: Entries, project: Project) -> Iterator[tuple[str, int]]:
    """What is mounted and is settled elsewhere."""
    for source, at, _ in _sources(documents, keys, project):
        for said in project.variables(source):
            yield said, at


def unjudged(documents: Documents, keys: Entries) -> Iterator[tuple[str, int]]:
    """What gives more that does not stand in the file."""
    for node in documents.items(keys.get("devices"), "devices"):
        if host_paths.has_variable(_device(documents, node)):
            yield "which device it gets depends on a variable", line(node)
    if "provider" in keys:
        yield "a provider on the host starts it", line(keys["provider"])
    if "volumes_from" in keys:
        yield "it mounts the volumes of other containers", line(keys["volumes_from"])
