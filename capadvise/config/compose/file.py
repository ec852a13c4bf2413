"""docker compose: ``cap_drop`` and ``cap_add`` of a service."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from collections.abc import Mapping as Mapping_
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from capadvise.catalog import default
from capadvise.config import engine, host_paths
from capadvise.config.declared import Declared, Exposure, ExposureAt
from capadvise.config.run.flags import (
    annotation,
    forbids_gain,
    joined,
    of_option,
    profiles,
    security_option,
)
from capadvise.config.snippet import Snippet
from capadvise.config.yaml.reader import (
    Dialect,
    Documents,
    Entries,
    any_text,
    command_words,
    key_lines,
    line,
    optional_text,
    text,
    text_at,
    walk,
    wrong,
)
from capadvise.config.yaml.tree import Mapping, Node, Scalar, Sequence
from capadvise.model.errors import BadInput

DIALECT = Dialect(frozenset({"!override", "!reset"}), names=default().names["compose-keys"])
_WITH_VARIABLES = (*DIALECT.names - {"services", "include"}, "networks", "secrets", "configs")
"""Keys of a service whose values are judged."""


def render(snippet: Snippet) -> str:
    """A compose file with the service and nothing but its privileges, for a second ``-f``."""
    lines = [
        f"services:\n  {snippet.name}:\n",
        snippet.comments("    ", tuple(engine.notes(snippet))),
    ]
    if snippet.says_user:
        lines.append(f'    user: "{snippet.user}"\n')
    if snippet.unprivileged:
        lines.append(
            "    privileged: false # if it opens devices of the host, list them under devices:\n"
        )
    lines.append("    cap_drop:\n      - ALL\n")
    if snippet.caps:
        lines.append("    cap_add:\n")
        lines += [f"      - {cap.short} # {reason}\n" for cap, reason in snippet.caps]
    forbids = ["no-new-privileges:true"] if engine.no_new_privileges(snippet) else []
    if options := [*forbids, *engine.opened(snippet)]:
        lines.append("    security_opt:\n")
        lines += [f"      - {option}\n" for option in options]
    if values := engine.sysctls(snippet):
        lines.append("    sysctls:\n")
        lines += [f"      {key}: {value}\n" for key, value in values.items()]
    return "".join(lines)


def read(source: str, path: str = "") -> tuple[Declared, ...]:
    """The services of a compose file. Variables and ``extends`` stay as written."""
    folder = os.path.dirname(os.path.abspath(path)) if path else ""
    documents = Documents(source, DIALECT)
    services: dict[str, Declared] = {}
    joins: dict[tuple[str, str], tuple[str, int]] = {}
    for keys in tops(documents):  # compose takes several documents as several files
        project = Project.of(documents, keys, folder)
        lines = key_lines(keys.get("services"))
        for name, node in documents.inner(keys, "services").items():
            if name in services:
                raise BadInput(f"line {line(node)}: service {name!r:.80} appears twice")
            at = lines.get(name, line(node))
            services[name] = _service(documents, name, node, at, project)
            for key, other, place in _joined(documents.mapping(node, "a service")):
                joins[name, key] = other, place
    for (name, key), (other, place) in joins.items():
        owner = services.get(_owner(name, key, joins))
        more = _exposed_by(key, owner.exposed if owner else (), other, place)
        services[name] = replace(services[name], exposed=(*services[name].exposed, *more))
    return tuple(services.values())


def _owner(name: str, key: str, joins: Mapping_[tuple[str, str], tuple[str, int]]) -> str:
    """The service whose namespace it is in the end; its own where they go round in circles."""
    owner = name
    for _ in joins:
        owner, _ = joins.get((owner, key), (owner, 0))
    return owner


def tops(documents: Documents) -> list[Entries]:
    """The keys at the top of each document. Raises BadInput for what is no compose file."""
    every = [documents.mapping(root, "a compose file") for root in documents.roots]
    if not any("services" in keys or "include" in keys for keys in every):
        raise BadInput("line 1: not a compose file: it has no services")
    return every


def uses_variables(source: str) -> bool:
    """True if a variable is in a value that is judged, with or without a default."""
    documents = Documents(source, DIALECT)
    judged: list[Node] = []
    for keys in tops(documents):
        judged += [keys[name] for name in ("volumes", "networks") if name in keys]
        for group in ("secrets", "configs"):
            for item in documents.mapping(keys.get(group), group).values():
                judged += [v for k, v in documents.mapping(item, group).items() if k == "file"]
        for service in documents.inner(keys, "services").values():
            entries = documents.mapping(service, "a service")
            judged += [entries[name] for name in _WITH_VARIABLES if name in entries]
    each = (node for top in judged for node in walk(top))
    return any(isinstance(node, Scalar) and "$" in node.value for node in each)


def includes(source: str) -> bool:
    """True if a compose file includes others, in whichever spelling."""
    return any("include" in keys for keys in tops(Documents(source, DIALECT)))


def included(source: str) -> list[str]:
    """The files that a compose file includes, as it names them. Raises BadInput."""
    documents = Documents(source, DIALECT)
    named: list[str] = []
    for keys in tops(documents):
        for node in documents.items(keys.get("include"), "include"):
            path = node  # or path: FILE, or path: [FILE, FILE]
            if isinstance(node, Mapping):
                path = documents.mapping(node, "include").get("path", node)
            files = path.items if isinstance(path, Sequence) else [path]
            named += [file for file in map(any_text, files) if file is not None]
    return named


def _service(documents: Documents, name: str, node: Node, at: int, project: Project) -> Declared:
    keys = documents.mapping(node, f"service {name!r:.80}")
    drop = documents.texts(keys.get("cap_drop"), "cap_drop")
    add = documents.texts(keys.get("cap_add"), "cap_add")
    options = documents.texts(keys.get("security_opt"), "security_opt")
    gains = [(said, at) for option, at in options if (said := forbids_gain(option)) is not None]
    places: list[tuple[str, int]] = [
        *((key, line(keys[key])) for key in ("privileged", "user") if key in keys),
        *(("no_new_privileges", at) for _, at in gains),
    ]
    return Declared(
        service=name,
        image=any_text(keys.get("image")),
        command=_command(keys),
        line=at,
        drop=tuple(cap for cap, _ in drop),
        add=tuple(cap for cap, _ in add),
        privileged=_privileged(keys),
        user=optional_text(keys.get("user"), "user"),
        groups=bool(documents.items(keys.get("group_add"), "group_add")),
        no_new_privileges=gains[-1][0] if gains else None,
        lines=(*places, *drop, *add),
        unresolved=tuple(_unresolved(keys, [*drop, *add, *options])),
        exposed=tuple(_exposed(documents, keys, project)),
        unjudged=tuple(_unjudged(documents, keys, project)),
        variables=tuple(_variables(documents, keys, project)),
        profiles=tuple(profiles(options)),
    )


def _command(keys: Entries) -> tuple[str, ...]:
    """The words of its entrypoint, else of its command, which can be arguments alone."""
    said = (command_words(keys.get(key)) for key in ("entrypoint", "command"))
    return next(filter(None, said), ())


def _privileged(keys: Entries) -> bool:
    """Compose also takes texts, as variables make them."""
    said = optional_text(keys.get("privileged"), "privileged")
    if said is None or "$" in said:
        return False
    if said.lower() not in (*_TRUE, *_FALSE):
        raise wrong(keys["privileged"], "privileged", "true or false")
    return said.lower() in _TRUE


def _unresolved(keys: Entries, caps: list[tuple[str, int]]) -> Iterator[tuple[str, int]]:
    if "extends" in keys:
        yield "extends", line(keys["extends"])
    for key in ("privileged", "user", *_SWITCHES):
        if key in keys and "$" in (optional_text(keys[key], key) or ""):
            yield key, line(keys[key])
    yield from ((text, at) for text, at in caps if "$" in text)


_NAMESPACES = host_paths.namespaces("compose")
_SERVICE = "service:"
_SWITCHES = tuple(_NAMESPACES)
"""Keys with one value that matters."""
_TRUE = ("true", "1", "t", "y", "yes", "on")
_FALSE = ("false", "0", "f", "n", "no", "off")


class Mounted(NamedTuple):
    """A file, a folder or a volume in a container."""

    source: str
    target: str
    writable: bool
    line: int


@dataclass(slots=True)
class Project:
    """The parts of a compose file outside of its services that services refer to."""

    folder: str = ""
    """The folder of the file, where relative paths begin; empty if it is not known."""
    volumes: dict[str, host_paths.Volume] = field(default_factory=dict)
    """The named volumes, as their drivers make them."""
    files: dict[tuple[str, str], str] = field(default_factory=dict)
    """(``secrets`` or ``configs``, name) → the host's file that is mounted."""
    outer_networks: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Networks that are there already: key → (their name in the engine, line). The network
    named ``host`` is the host's own."""
    of_podman: list[tuple[str, int]] = field(default_factory=list)
    """(key, line) of podman-compose's own settings."""

    @classmethod
    def of(cls, documents: Documents, top: Entries, folder: str) -> Project:
        project = cls(folder)
        named = ((key, line(node)) for key, node in top.items() if key.startswith("x-podman"))
        project.of_podman += named
        for name, volume in _named(documents, top, "volumes"):
            options = documents.inner(volume, "driver_opts")
            said = (
                host_paths.expand_variables(text_at(options, x)) for x in ("type", "device", "o")
            )
            project.volumes[name] = host_paths.Volume(text_at(volume, "driver"), *said)
        for group in ("secrets", "configs"):
            for name, item in _named(documents, top, group):
                project.files[group, name] = text_at(item, "file")
        for name, network in _named(documents, top, "networks"):
            outer = network.get("external")  # a switch, or once a mapping with the name
            former = documents.mapping(outer, "external") if isinstance(outer, Mapping) else {}
            called = text_at(network, "name") or text_at(former, "name") or name
            if outer is not None:
                engines = host_paths.expand_variables(called).strip()
                project.outer_networks[name] = (engines, line(top["networks"]))
        return project

    def variables(self, source: str) -> Iterator[str]:
        """The texts that settle a volume, a file or a folder and contain a variable."""
        volume = self.volumes.get(source)
        texts = (volume.device, volume.options, volume.kind) if volume else (source,)
        yield from filter(host_paths.has_variable, texts)

    def mounted(self, mount: Mounted) -> Iterator[ExposureAt]:
        """The exposures of a volume, a file or a folder."""
        source, target, writable, at = mount
        if volume := self.volumes.get(source):
            yield from volume.exposed(at, writable=writable, target=target)
            return
        nearer = host_paths.below(self.folder, source)
        judged = list(host_paths.mounted(nearer, at, writable=writable, target=target))
        yield from judged or host_paths.mounted(source, at, writable=writable)


def _named(documents: Documents, top: Entries, group: str) -> Iterator[tuple[str, Entries]]:
    for name, node in documents.mapping(top.get(group), group).items():
        yield name, documents.mapping(node, f"{name!r:.80} of {group}")


def _exposed(documents: Documents, keys: Entries, project: Project) -> Iterator[ExposureAt]:
    for key, exposure in _NAMESPACES.items():
        said = host_paths.expand_variables(text_at(keys, key)).strip().lower()
        if said.partition(":")[0] in ("host", "ns"):
            yield ExposureAt(exposure, f"{key}: {said}", line(keys[key]))
        elif key == "pid" and said:
            yield ExposureAt(Exposure.SHARED_PROCESSES, f"pid: {said}", line(keys[key]))
    for option, at in documents.texts(keys.get("security_opt"), "security_opt"):
        yield from security_option(option, at)
    for key, said, at in _annotations(documents, keys):
        yield from annotation(key, said, at)
    yield from _networks(documents, keys, project)
    yield from _of_engine(documents, keys)
    for mount in _mounts(documents, keys, project):
        yield from project.mounted(mount)
    for node in documents.items(keys.get("devices"), "devices"):
        yield from host_paths.device(_device(documents, node), line(node))
    for key, said, at in (
        *_settings(documents, keys),
        *((k, "", at) for k, at in project.of_podman),
    ):
        yield from host_paths.reached("compose", key, said, at)
    for driver, name, at in _reservations(documents, keys):
        yield from host_paths.reached("compose", "driver", driver, at)
        yield from host_paths.device(name, at) if driver == "cdi" else ()
    rules = documents.texts(keys.get("device_cgroup_rules"), "device_cgroup_rules")
    for rule, at in rules:
        yield from host_paths.device_rule(rule, at)
    yield from _privileged_commands(documents, keys)
    if _is_on(keys.get("use_api_socket")):
        yield ExposureAt(Exposure.CONTROL_SOCKET, "use_api_socket", line(keys["use_api_socket"]))


def _settings(documents: Documents, keys: Entries) -> Iterator[tuple[str, str, int]]:
    """(key, value, line) of all keys of a service and of its build, and of what it watches."""
    _, facts = host_paths.keys_of("compose")
    each = [*keys.items(), *((f"build.{key}", at) for key, at in _built(documents, keys).items())]
    watch = documents.items(documents.inner(keys, "develop").get("watch"), "watch")
    for item in (documents.mapping(node, "an item of watch") for node in watch):
        each += [("develop.path", item["path"])] if "path" in item else []
    for key, node in each:
        for at in walk(node) if key in (*facts["reads"], *facts["writes"]) else [node]:
            for said in (any_text(at) or "").split(","):
                yield key, said.split("=")[-1], line(at)


def _of_engine(documents: Documents, keys: Entries) -> Iterator[ExposureAt]:
    """The exposures of a log driver's options, and of those of a network mode."""
    for key, node in documents.inner(keys, "logging", "options").items():
        yield from of_option("log-opt", f"{key}={any_text(node)}", line(node))
    if ":" in (mode := text_at(keys, "network_mode")):
        yield from of_option("network", mode, line(keys["network_mode"]))


def _built(documents: Documents, keys: Entries) -> Entries:
    """The entries of ``build``, which can be a folder alone."""
    build = keys.get("build")
    if isinstance(build, Mapping):
        return documents.mapping(build, "build")
    return {} if build is None else {"context": build}


def _reservations(documents: Documents, keys: Entries) -> Iterator[tuple[str, str, int]]:
    """(driver, device, line) of devices that drivers of the engine bring in."""
    reserved = documents.inner(keys, "deploy", "resources", "reservations").get("devices")
    for group in (keys.get("gpus"), reserved):
        for node in documents.items(group, "devices") if isinstance(group, Sequence) else ():
            inner = documents.mapping(node, "a device")
            names = documents.texts(inner.get("device_ids"), "device_ids")
            for name, at in [*names, ("", line(node))]:
                yield text_at(inner, "driver"), name, at


def _annotations(documents: Documents, keys: Entries) -> Iterator[tuple[str, str, int]]:
    """(key, value, line) of each, in a mapping or in a list."""
    node = keys.get("annotations")
    if isinstance(node, Mapping):
        pairs = documents.mapping(node, "annotations").items()
        yield from ((key, any_text(value) or "", line(value)) for key, value in pairs)
    else:
        for pair, at in documents.texts(node, "annotations"):
            key, _, said = pair.partition("=")
            yield key, said, at


def _joined(keys: Entries) -> Iterator[tuple[str, str, int]]:
    """(key, service, line) of the namespaces that are those of another service."""
    for key in _SWITCHES:
        said = text_at(keys, key)
        if said.startswith(_SERVICE):
            yield key, said.removeprefix(_SERVICE), line(keys[key])


def _exposed_by(key: str, owner: Iterable[ExposureAt], other: str, at: int) -> Iterator[ExposureAt]:
    """The exposure of a namespace that another service shares with the host."""
    if any(item.kind is _NAMESPACES[key] for item in owner):
        yield ExposureAt(_NAMESPACES[key], f"{key}: {_SERVICE}{other}", at)


def _networks(documents: Documents, keys: Entries, project: Project) -> Iterator[ExposureAt]:
    for name, called, at in _outer_networks(documents, keys, project):
        if called == "host":
            yield ExposureAt(Exposure.HOST_NETWORK, f"the network {name}", at)


def _outer_networks(
    documents: Documents, keys: Entries, project: Project
) -> Iterator[tuple[str, str, int]]:
    """(key, engine's name, line) of the networks of others that a service joins."""
    node = keys.get("networks")
    if isinstance(node, Mapping):
        names = [(name, line(node)) for name in documents.mapping(node, "networks")]
    else:
        names = documents.texts(node, "networks")
    if not names and not text_at(keys, "network_mode") and "default" in project.outer_networks:
        names = [("default", project.outer_networks["default"][1])]  # as compose joins it
    for name, at in names:
        if name in project.outer_networks:
            yield name, project.outer_networks[name][0], at


def _mounts(documents: Documents, keys: Entries, project: Project) -> Iterator[Mounted]:
    for node in documents.items(keys.get("volumes"), "volumes"):
        yield _mount(documents, node, "a volume")
    built = _built(documents, keys)
    for group, within in (("secrets", keys), ("configs", keys), ("secrets", built)):
        for node in documents.items(within.get(group), group):
            if isinstance(node, Mapping):
                inner = documents.mapping(node, f"an item of {group}")
                name, target = text_at(inner, "source"), text_at(inner, "target")
            else:
                name, target = text(node, f"an item of {group}"), ""
            yield Mounted(project.files.get((group, name), ""), target, False, line(node))


def _mount(documents: Documents, node: Node, what: str) -> Mounted:
    """In short and in long syntax."""
    if isinstance(node, Mapping):
        keys = documents.mapping(node, what)
        source = optional_text(keys.get("source"), "source")
        source = source or text_at(keys, "src")
        read_only = host_paths.expand_variables(text_at(keys, "read_only")).lower() in _TRUE
        return Mounted(source, text_at(keys, "target"), not read_only, line(node))
    source, *rest = host_paths.split_mount(text(node, what))
    modes = rest[-1].split(",") if len(rest) > 1 else []
    return Mounted(source if rest else "", rest[0] if rest else "", "ro" not in modes, line(node))


def _device(documents: Documents, node: Node) -> str:
    if isinstance(node, Mapping):
        return _mount(documents, node, "a device").source
    return host_paths.split_mount(text(node, "a device"))[0]


def _privileged_commands(documents: Documents, keys: Entries) -> Iterator[ExposureAt]:
    for key in ("post_start", "pre_stop"):
        for node in documents.items(keys.get(key), key):
            hook = documents.mapping(node, f"an item of {key}")
            yield from _privileged_command(hook, f"a privileged {key} hook")
    develop = documents.inner(keys, "develop")
    for node in documents.items(develop.get("watch"), "watch"):
        command = documents.mapping(node, "an item of watch").get("exec")
        if isinstance(command, Mapping):
            inner = documents.mapping(command, "exec")
            yield from _privileged_command(inner, "a privileged command of watch")
    if not isinstance(keys.get("build"), Mapping):
        return
    build = documents.mapping(keys["build"], "build")
    yield from _privileged_command(build, "a privileged build")
    for item, at in documents.texts(build.get("entitlements"), "entitlements"):
        if item == "security.insecure":
            yield ExposureAt(Exposure.PRIVILEGED_COMMAND, "a build with security.insecure", at)


def _privileged_command(keys: Entries, what: str) -> Iterator[ExposureAt]:
    if _is_on(keys.get("privileged")):
        yield ExposureAt(Exposure.PRIVILEGED_COMMAND, what, line(keys["privileged"]))


def _is_on(node: Node | None) -> bool:
    """True if a switch is on, or may be: a variable is settled elsewhere."""
    said = optional_text(node, "a switch")
    return said is not None and said.lower() not in _FALSE


def _variables(documents: Documents, keys: Entries, project: Project) -> Iterator[tuple[str, int]]:
    """(source, line) of mounts that a variable settles."""
    for mount in _mounts(documents, keys, project):
        yield from ((said, mount.line) for said in project.variables(mount.source))


def _unjudged(documents: Documents, keys: Entries, project: Project) -> Iterator[tuple[str, int]]:
    """(sentence, line) of settings that may give more than the file says."""
    for _, called, at in _outer_networks(documents, keys, project):
        if host_paths.has_variable(called):
            yield "which network it joins depends on a variable", at
    for node in documents.items(keys.get("devices"), "devices"):
        if host_paths.has_variable(_device(documents, node)):
            yield "which device it gets depends on a variable", line(node)
    if text_at(_built(documents, keys), "network") == "host":
        yield "its build has the host's network", line(keys["build"])
    if "provider" in keys:
        yield "a provider on the host starts it", line(keys["provider"])
    for key in (key for key in _SWITCHES if key in keys):
        yield from joined(key, text_at(keys, key), line(keys[key]))
    if "volumes_from" in keys:
        yield "it mounts the volumes of other containers", line(keys["volumes_from"])
