"""The settings of a container in another program's file, judged as the options of ``docker run``
that they become. ``catalog/engine_keys.yaml`` says which key becomes which option; a key that it
does not know is not judged, and never passed over in silence."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator
from collections.abc import Mapping as Mapping_
from dataclasses import replace
from typing import Any

from capadvise.catalog import default
from capadvise.config import host_paths
from capadvise.config.carriers.hcl import EXPRESSION
from capadvise.config.declared import Declared, Exposure, ExposureAt
from capadvise.config.run import flags
from capadvise.config.run.pflag import Grammar
from capadvise.config.yaml.tree import (
    Mapping,
    Node,
    Scalar,
    Sequence,
    entries,
    inner_nodes,
    is_on,
    target,
)
from capadvise.config.yaml.tree import text as text_of

_COMPUTED = r"\{\{|\$\{|\$\(|`"
"""The program fills in a part: ``${{ x }}``, ``{{ x }}``, ``${x}``."""
_TEMPLATE = r"\$?\{\{.{0,300}?\}\}|\$\([^()]{0,300}\)"
_WORKSPACE = (
    r"\$\{\{\s?(?:github|gitea)\.workspace\s?\}\}|\$\(pwd\)|`pwd`"
    r"|\$\{?(?:localWorkspaceFolder|PWD|GITHUB_WORKSPACE|CI_PROJECT_DIR)\b\}?"
)
_HOME = r"\$\{localEnv:HOME\}(?:\$\{localEnv:USERPROFILE\})?|\{\{\s?ansible_env\.HOME\s?\}\}"
_CALL = re.compile(
    r"(?:^|[\s;&|(`'\"=])(?:docker|podman|nerdctl)(?:\s+container)?\s+(?:run|create)\s+(?P<rest>.*)"
)
_HOST_KEYS = ("hostpath", "source", "src", "pathonhost")
_READ_ONLY = ("readonly", "ro")
_FLAGS = ("privileged",)
_KEY = r"\b(?P<key>[A-Za-z_]\w{0,60})\"?\s{0,80}[=:]\s{0,80}(?!false|null|\[\s?\])[^\s,]{1,200}"


def plain(key: str) -> str:
    """A key as the catalog has it: ``capAdd`` and ``cap_add`` are the same."""
    return key.casefold().replace("_", "").replace("-", "")


def pairs(node: Node | None) -> Iterator[tuple[str, Node]]:
    """The keys and values of a mapping, keys that come several times too, and merged ones."""
    node = None if node is None else target(node)
    if not isinstance(node, Mapping):
        return
    own = [(key, value) for key, value in node.pairs if isinstance(key, Scalar)]
    yield from ((key.value, target(value)) for key, value in own if key.value != "<<")
    names = {key.value for key, _ in own}
    yield from ((key, target(value)) for key, value in entries(node).items() if key not in names)


def values(node: Node | None, *names: str) -> list[Node]:
    """The values of keys, whatever their case; lists are taken apart."""
    return [item for key, value in pairs(node) if plain(key) in names for item in items(value)]


def value(node: Node | None, *names: str) -> str:
    """The text of the first of these keys; empty if it has none."""
    return next(filter(None, map(text_of, values(node, *names))), "")


def items(node: Node) -> list[Node]:
    """The items of a list, lists in it too; anything else is the only one."""
    node = target(node)
    if not isinstance(node, Sequence):
        return [node]
    return [inner for item in node.items for inner in items(item)]


def mappings(node: Node) -> Iterator[Mapping]:
    """All mappings in a tree, each once."""
    seen: set[int] = set()
    rest = [node]
    while rest:
        node = target(rest.pop())
        if id(node) not in seen:
            seen.add(id(node))
            if isinstance(node, Mapping):
                yield node
            rest += reversed(inner_nodes(node))


def keys() -> Mapping_[str, Any]:
    """The facts of the catalog about keys."""
    return default().engine_keys


def container(node: Node, name: str, line: int = 0, *, more: Iterable[Declared] = ()) -> Declared:
    """The container that a mapping describes. ``more``: what other parts of the file give it."""
    parts = [part for key, each in pairs(node) for part in _parts(key, each)]
    image = value(node, "image") or None
    return joined([*parts, *more], value(node, "name") or name, line or node.line, image)


def joined(parts: Iterable[Declared], name: str, line: int, image: str | None = None) -> Declared:
    """Several declarations of one container."""
    whole = Declared(name, line, image=image)
    for part in parts:
        places = ((cap, part.line) for cap in (*part.drop, *part.add))
        users = (("user", part.line),) if part.user is not None else ()
        switches = (("privileged", part.line),) if part.privileged else ()
        whole = replace(
            whole,
            drop=(*whole.drop, *part.drop),
            add=(*whole.add, *part.add),
            privileged=whole.privileged or part.privileged,
            user=whole.user if part.user is None else part.user,
            groups=whole.groups or part.groups,
            no_new_privileges=(
                whole.no_new_privileges
                if part.no_new_privileges is None
                else part.no_new_privileges
            ),
            lines=(*whole.lines, *part.lines, *switches, *users, *places),
            exposed=(*whole.exposed, *part.exposed),
            unjudged=(*whole.unjudged, *part.unjudged),
            profiles=(*whole.profiles, *part.profiles),
            variables=(*whole.variables, *part.variables),
        )
    return whole


def _parts(key: str, node: Node) -> Iterator[Declared]:
    name, facts = plain(key), keys()
    if name in facts["options"]:
        for item in items(node):
            yield from _option(facts["options"][name], key, item)
    elif name in facts["words"]:
        yield options(node)
    elif name == "features":
        yield from _features(node)
    elif name in facts["host-commands"]:
        yield Declared("", exposed=(ExposureAt(Exposure.HOST_COMMAND, key, node.line),))
    elif name in facts["elsewhere"]:
        yield unjudged(f"{key}: {facts['elsewhere'][name]}", node.line)
    elif name not in facts["harmless"]:
        yield unjudged(f"{key}: a setting that capadvise does not know", node.line)


def kept(part: Declared, name: str) -> Declared:
    """A part that stands for itself: it says nothing of capabilities."""
    return replace(part, service=name, drop=("ALL",))


def distinct(found: Iterable[Declared]) -> tuple[Declared, ...]:
    """Each with a name of its own."""
    taken: dict[str, int] = {}
    named = []
    for each in found:
        number = taken[each.service] = taken.get(each.service, 0) + 1
        named.append(each if number == 1 else replace(each, service=f"{each.service}#{number}"))
    return tuple(named)


def unjudged(what: str, line: int) -> Declared:
    """A part that may give more than the file shows."""
    return Declared("", line, unjudged=((what, line),))


def _option(option: str, key: str, node: Node) -> Iterator[Declared]:
    line, said = node.line, text_of(node) or ""
    if isinstance(node, Mapping):
        yield from _of_mapping(option, key, node)
    elif isinstance(node, Scalar) and node.is_null:
        return
    elif node.tag == EXPRESSION or (computed(said) and option not in ("volume", "mount", "user")):
        if said != "null":
            yield unjudged(f"{key}: {said}, which only its program can tell", line)
    elif option in _FLAGS:
        if is_on(node):
            yield flags.declared([f"--{option}"], "", line)
    elif option == "group-add":
        yield Declared("", line, groups=True)
    elif option == "volume" and ":" not in said:
        return  # a folder of the container
    else:
        yield _judged([f"--{option}={said}"], line)


def _of_mapping(option: str, key: str, node: Mapping) -> Iterator[Declared]:
    """A mount, a device, capabilities or a network in the form of a mapping."""
    if option == "cap-add":
        for name in ("add", "drop"):
            for item in values(node, name):
                yield from _option(f"cap-{name}", f"{key}.{name}", item)
    elif option == "network":
        for item in values(node, "name", "mode"):
            if not (text_of(item) or "").startswith("docker_network."):
                yield from _option(option, key, item)
    elif option == "user" or not node.pairs:
        return
    else:
        yield from _of_host(option, key, node)


def _of_host(option: str, key: str, node: Mapping) -> Iterator[Declared]:
    for item in values(node, "fromcontainer"):
        yield unjudged(f"{key}: the volumes of {text_of(item)}", item.line)
    drivers = [*values(node, "volumeoptions"), *values(node, "volumedriver"), node]
    for item in (
        each for driver in drivers for each in values(driver, "driverconfig", "driveroptions")
    ):
        yield unjudged(f"{key}: a driver that mounts something else", item.line)
    read_only = any(map(is_on, values(node, *_READ_ONLY)))
    for item in values(node, *_HOST_KEYS):
        source = _known(text_of(item) or "")
        if item.tag == EXPRESSION:
            yield Declared("", variables=((source, item.line),))
        elif option == "device":
            yield Declared("", exposed=(host_paths.device(source, item.line),))
        elif value(node, "type") not in ("volume", "tmpfs", "npipe"):
            yield _mounted(source, item.line, writable=not read_only)
    if option not in ("volume", "mount", "device"):
        yield unjudged(f"{key}: keys and values", node.line)


def _mounted(source: str, line: int, *, writable: bool) -> Declared:
    found = tuple(host_paths.mounted(source, line, writable=writable))
    variables = ((source, line),) if computed(source) and not found else ()
    return Declared("", line, exposed=found, variables=variables)


def _known(text: str) -> str:
    """With the folder of the project and the home in the place of their variables."""
    return re.sub(_HOME, "~", re.sub(_WORKSPACE, ".", text))


def computed(text: str) -> bool:
    """True if a program fills in a part of it."""
    return re.search(_COMPUTED, _known(text)) is not None


def _judged(words: list[str], line: int, name: str = "") -> Declared:
    """The options of a command line. A filled-in part becomes a variable."""
    known = [re.sub(_TEMPLATE, "$X", _known(word)) for word in words]
    given, rest = Grammar.of("run").parse(known)
    sources = [each.value or "" for each in given if each.name in ("volume", "mount")]
    sources += rest[:1] if len(rest) > 1 else []
    unknown = tuple((source, line) for source in sources if source.startswith(("$", "source=$")))
    return replace(flags.declared(known, name, line), variables=unknown)


def options(node: Node) -> Declared:
    """The options of a text, or of a list of words."""
    said: list[str] = []
    for item in items(node):
        text = text_of(item) or ""
        if isinstance(target(node), Sequence):
            said.append(text)
        else:
            try:
                said += shlex.split(re.sub(_TEMPLATE, "$X", _known(text)))
            except ValueError:
                return unjudged(f"{text}: its quotes do not match", item.line)
    declared = _judged(said, node.line)
    if declared.image:
        return joined(
            [declared, unjudged(f"{declared.image}, which is no option", node.line)], "", node.line
        )
    return declared


def _features(node: Node) -> Iterator[Declared]:
    facts = keys()
    for key, each in pairs(node):
        name = key.rpartition("/")[2].partition(":")[0].partition("@")[0]
        official = key.startswith(("ghcr.io/devcontainers/features/", name))
        if official and name in facts["features"]:
            yield flags.declared([facts["features"][name]], "", each.line)
        elif not official or name not in facts["harmless-features"]:
            yield unjudged(f"the feature {key}, which can ask for privileges", each.line)


def calls(node: Node | None, name: str) -> Iterator[Declared]:
    """The containers that the commands of a script start."""
    for item in items(node) if node is not None else ():
        text = text_of(item) or ""
        block = isinstance(item, Scalar) and item.style in ("|", ">")
        body = re.sub(r"\\\r?\n", lambda at: "\0", text)
        line = item.line + (1 if block else 0)
        for row in body.split("\n"):
            for found in _CALL.finditer(row):
                yield _call(found["rest"].replace("\0", " "), name, line)
            line += 1 + row.count("\0")


def _call(rest: str, name: str, line: int) -> Declared:
    text = re.sub(_TEMPLATE, "$X", _known(rest))
    try:
        words = shlex.split(text, comments=True)
    except ValueError:
        words = text.replace('"', " ").replace("'", " ").split()
    return _judged(words, line, name)


def telling(node: Node, taken: Iterable[int], name: str) -> Iterator[Declared]:
    """Keys that give power, in parts of a file that were not read."""
    known, names = set(taken), frozenset(keys()["telling"])
    parts = []
    for each in mappings(node):
        for key, item in pairs(each):
            if item.line in known:
                continue
            if plain(key) in names and _gives(item):
                parts.append(unjudged(f"{key}: {text_of(item) or 'a list'}", item.line))
            elif item.tag == EXPRESSION:
                for inner in re.finditer(_KEY, said := text_of(item) or ""):
                    line = item.line + said.count("\n", 0, inner.start())
                    if plain(inner["key"]) in names:
                        parts.append(unjudged(inner[0], line))
    if parts:
        yield kept(joined(parts, name, parts[0].line), name)


def _gives(node: Node) -> bool:
    return is_on(node) if isinstance(node, Scalar) else bool(inner_nodes(node))
