"""The containers in files of other tools, judged as the options of ``docker run`` and as the pods
that their settings become. ``catalog/foreign.yaml`` has the places of containers in each kind of
file, and the meaning of keys; a key that it does not know is not judged, and never passed over."""

from __future__ import annotations

import fnmatch
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from glob import escape, glob
from itertools import chain
from os.path import basename, dirname, exists, join, normpath
from pathlib import PurePath
from typing import Any

from capadvise.catalog import default
from capadvise.config.declared import Declared, Exposure, ExposureAt
from capadvise.config.foreign.trees import EXPRESSION, Pairs, mapping, roots, scalar, sequence
from capadvise.config.kubernetes.file import declared_in
from capadvise.config.kubernetes.manifests import DIALECT
from capadvise.config.language import UnknownFile
from capadvise.config.run import flags
from capadvise.config.run.pflag import Grammar
from capadvise.config.yaml import tree
from capadvise.config.yaml.reader import Documents, walk
from capadvise.config.yaml.tree import Mapping, Node, Scalar, Sequence, is_on, target
from capadvise.config.yaml.tree import text as text_of
from capadvise.model.errors import BadInput


def named(path: str) -> bool:
    """True if the name of a file shows its kind."""
    return any(re.search(kind["names"], path) for kind in _facts()["kinds"].values())


def claims(file: UnknownFile) -> bool:
    """True if it has the keys of a kind that has no names of its own."""
    return any(True for root in file.roots for _ in _kinds(file.path, root))


def meant(path: str, source: str) -> bool:
    """True if there is a container in it, or the name of a file that has some: other programs have
    such files, too."""
    fitting = [kind for kind in _facts()["kinds"].values() if re.search(kind["names"], path)]
    musts = [kind.get("must", "") for kind in fitting] or [""]
    is_likely = any(re.search(must, source, re.MULTILINE | re.IGNORECASE) for must in musts)
    return is_likely and (bool(read(source, path)) or any(used_by(path, source)))


def used_by(path: str, source: str) -> Iterator[str]:
    """The compose files whose services a development container is; and what GitLab includes of the
    same repository."""
    is_container, includes = "dockerComposeFile" in source, "include" in source
    for root in roots(source, path) if is_container or includes else ():
        for item in _values(root, "dockercomposefile"):
            yield join(dirname(path), text_of(item) or "")
        if includes and any(name == "gitlab-ci" for name, _ in _kinds(path, root)):
            for item in _values(root, "include"):
                local = _text(item, "local") or text_of(item) or ""
                yield from _local(path, local) if local and not _is_far(local) else ()


def _local(path: str, name: str) -> Iterator[str]:
    """The files of a repository that a name means, which can have a ``*`` in its last part."""
    above = [*PurePath(path).parents]
    top = next((x for x in above if exists(x / ".git") or exists(x / ".gitlab-ci.yml")), above[0])
    place = join(top, normpath(f"/{name}").lstrip("/"))  # it does not leave the repository
    several = glob(escape(dirname(place)) + "/" + basename(place)) if "*" in place else ()
    yield from sorted(several)[:_MOST_INCLUDED] or [place]


def read(source: str, path: str = "") -> tuple[Declared, ...]:
    """The containers. Keys that give power elsewhere in the file are named, not judged."""
    declared: list[Declared] = []
    for root in roots(source, path):
        for name, kind in _kinds(path, root):
            taken: set[int] = set()
            places = _places(root, kind["places"])
            for role, nodes in zip(kind["places"].values(), places, strict=True):
                what, _, must = role.partition(" ")
                for called, node, parent in nodes:
                    if what == "container" and must and not _text(node, must):
                        continue
                    own = called or _text(node, "name") or _text(parent, "name") or name
                    declared += _read(role, node, own)
                    taken.add(id(node))
            declared += _unread(name, tuple(_telling(root, taken)))
    return tuple(_distinct(declared))


_MOST_INCLUDED = 100


def _is_far(name: str) -> bool:
    """True for what is included from elsewhere, or depends on a variable."""
    return "://" in name or "$" in name


def _facts() -> Any:
    return default().foreign


def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(_facts()["patterns"][name])


def _kinds(path: str, root: Node) -> Iterator[tuple[str, dict[str, Any]]]:
    """The kinds of file that a name or else the keys show."""
    every = _facts()["kinds"].items()
    if by_name := [each for each in every if re.search(each[1]["names"], path)]:
        yield from by_name
        return
    signs = [(name, sign) for name, kind in every for sign in kind.get("signs", ())]
    places = _places(root, (sign for _, sign in signs))
    names = {name for (name, _), nodes in zip(signs, places, strict=True) if nodes}
    yield from ((name, kind) for name, kind in every if name in names)


_Way = tuple[int, tuple[str, ...], str]
"""One of several paths, its further steps, and the keys that its ``*`` stood for."""


def _places(root: Node, paths: Iterable[str]) -> list[list[tuple[str, Node, Node]]]:
    """For each path of keys its nodes, each with the keys that a ``*`` is for, and with its holder.
    A list stands for its items; ``-`` asks for one; ``**`` is for any keys. One walk is for all
    paths: files are large, and paths many."""
    start: list[_Way] = [
        (at, tuple(path.split("/")) if path else (), "") for at, path in enumerate(paths)
    ]
    places: list[list[tuple[str, Node, Node]]] = [[] for _ in start]
    seen: set[int] = set()

    def visit(node: Node, ways: list[_Way], parent: Node) -> None:
        node = target(node)
        if isinstance(node, Sequence):
            ways = [(at, steps[steps[:1] == ("-",) :], called) for at, steps, called in ways]
            for item in node.items:
                visit(item, ways, parent)
            return
        deep = [way for way in ways if way[1][:1] == ("**",) and id(node) not in seen]
        seen.update([id(node)] if deep else ())
        here = [(at, steps[1:], called) for at, steps, called in deep]
        for at, steps, called in ways:
            if not steps:
                places[at].append((called, node, parent))
            elif steps[0] != "**":
                here.append((at, steps, called))
        for value, further in _within(node, deep, here):
            visit(value, further, node)

    visit(root, start, root)
    return places


def _within(node: Node, deep: list[_Way], here: list[_Way]) -> Iterator[tuple[Node, list[_Way]]]:
    """The values of a mapping to which some way leads on, each with these ways."""
    first = tuple(steps[0] for _, steps, _ in here)
    for key, value in _pairs(node) if here else ():
        further = [] if isinstance(value, Scalar) else [*deep]
        for number in _fitting(first, key):
            at, steps, called = here[number]
            more = f"{called}/{key}".lstrip("/") if steps[0] == "*" else called
            further.append((at, steps[1:], more))
        if further:
            yield value, further


@lru_cache(maxsize=4096)
def _fitting(steps: tuple[str, ...], key: str) -> tuple[int, ...]:
    """The numbers of the steps that a key fits."""
    return tuple(at for at, step in enumerate(steps) if fnmatch.fnmatchcase(key, step))


def _read(role: str, node: Node, name: str) -> Iterator[Declared]:
    """The containers of one place. ``host X``: the value X runs commands on the host."""
    kind, *words = role.split()
    if kind == "host" and text_of(node) in words:
        at = ExposureAt(Exposure.HOST_COMMAND, f"commands of {name} ({text_of(node)})", node.line)
        yield Declared(name, node.line, ("ALL",), exposed=(at,))
    elif kind == "container":
        yield _container(node, name)
    elif kind == "script":
        yield from _calls(node, f"{name}/docker")
    elif kind == "pod":
        yield from _manifest(_object(node, words[0], name), name)
    elif kind == "manifest":
        yield from _manifest(node, name)
    elif kind == "volume":
        yield from _volume(node, name)
    elif kind == "elsewhere":
        yield from _unread(name, ((f"{name}: {' '.join(words)}", node.line),))
    elif kind == "include":
        far = _text(node, "remote", "project", "component")
        local = _text(node, "local") or text_of(node) or ""
        if far or _is_far(local):
            yield from _unread(name, ((f"include {far or local}", node.line),))


def _volume(node: Node, name: str) -> Iterator[Declared]:
    """A folder of the host by a name of its own, or the place in a container of such a volume."""
    source, place = _text(node, "path") or "$X", _text(node, "destination") or "/"
    part = _judged([f"--volume={source}:{place}"], node.line, name)
    if part.exposed:
        yield replace(part, drop=("ALL",), variables=())


# ------------------------------------------------------------------------------ trees


def _plain(key: str) -> str:
    """A key as the catalog has it: ``capAdd`` and ``cap_add`` are the same."""
    return key.casefold().replace("_", "").replace("-", "")


def _pairs(node: Node | None) -> Iterator[tuple[str, Node]]:
    """Keys and values, merged ones too, and each of a key that comes several times. A dynamic block
    of Terraform is that of its content."""
    node = target(node or tree.EMPTY)
    pairs = node.pairs if isinstance(node, Mapping) else ()
    own = [(key.value, at) for key, at in pairs if isinstance(key, Scalar)]
    if any(key == tree.MERGE for key, _ in own):
        names = {key for key, _ in own}
        own += (pair for pair in tree.entries(node).items() if pair[0] not in names)
    for key, value in own:
        if key != "dynamic":
            yield key, target(value)
        for name, block in _pairs(value) if key == "dynamic" else ():
            yield from ((name, content) for content in _values(block, "content"))


def _items(node: Node) -> list[Node]:
    """The items of a list, and of lists in it; anything else is the only one."""
    node = target(node)
    if not isinstance(node, Sequence):
        return [node]
    return [inner for item in node.items for inner in _items(item)]


def _values(node: Node | None, *names: str) -> list[Node]:
    """The values of keys; lists are taken apart."""
    return [item for key, value in _pairs(node) if _plain(key) in names for item in _items(value)]


def _text(node: Node | None, *names: str) -> str:
    """The first text of these keys; empty if there is none."""
    return next(filter(None, map(text_of, _values(node, *names))), "")


def _distinct(declared: Iterable[Declared]) -> Iterator[Declared]:
    """Each with a name of its own."""
    count: Counter[str] = Counter()
    for each in declared:
        count[each.service] += 1
        number = count[each.service]
        yield each if number == 1 else replace(each, service=f"{each.service}#{number}")


def _unread(name: str, parts: tuple[tuple[str, int], ...]) -> Iterator[Declared]:
    """Parts of a file that are not judged, and say nothing about a set."""
    if parts:
        yield Declared(name, parts[0][1], ("ALL",), unjudged=parts)


def _telling(root: Node, taken: set[int]) -> Iterator[tuple[str, int]]:
    """(what, line) of keys and options that give power, where no container was read."""
    rest = [root]
    while rest:
        node = target(rest.pop())
        if id(node) in taken:
            continue
        taken.add(id(node))
        for key, value in _pairs(node) if isinstance(node, Mapping) else ():
            rest.append(value)
            gives = not isinstance(value, Mapping) and any(map(is_on, _items(value)))
            if gives and _is_telling(key) and id(value) not in taken:
                yield f"{key}: {text_of(value) or 'a list'}", value.line
        rest += node.items if isinstance(node, Sequence) else ()
        yield from _powerful(node)


def _is_telling(key: str) -> bool:
    return _plain(key) in _facts()["telling"]


def _powerful(node: Node) -> Iterator[tuple[str, int]]:
    """(what, line) of options, and of keys in an expression, that give power."""
    said = text_of(node) or ""
    options = () if _pattern("call").search(said) else _pattern("power").finditer(said)
    keys = _pattern("key").finditer(said) if node.tag == EXPRESSION else ()
    for at in chain(options, (at for at in keys if _is_telling(at["key"]))):
        yield at[0], node.line + said.count("\n", 0, at.start())


# --------------------------------------------------------------- options of docker run


def _container(node: Node, name: str) -> Declared:
    if isinstance(node, Scalar) and "=" in node.value:  # Ansible: ``name=web privileged=yes``
        words = [word.partition("=")[::2] for word in _words(node.value)]
        node = mapping([(scalar(k, node.line), scalar(v, node.line)) for k, v in words], node.line)
    image = text_of(node) or _text(node, "image") or None
    parts = [part for key, value in _pairs(node) for part in _setting(key, value)]
    privileged = any(part.privileged for part in parts)
    called = image or _text(node, "name")
    if not privileged and _pattern("with-engine").search(called):
        parts.append(_unjudged(f"{called}: its daemon needs a privileged container", node.line))
    return _joined(parts, name, node.line, image)


def _joined(parts: Iterable[Declared], name: str, line: int, image: str | None = None) -> Declared:
    """Several declarations of one container."""
    parts = list(parts)
    every = ("drop", "add", "exposed", "unjudged", "profiles", "variables")
    lists: dict[str, Any] = {
        field: tuple(chain.from_iterable(getattr(part, field) for part in parts)) for field in every
    }
    users = [part.user for part in parts if part.user is not None]
    forbids = [part.no_new_privileges for part in parts if part.no_new_privileges is not None]
    return Declared(
        service=name,
        line=line,
        image=image,
        privileged=any(part.privileged for part in parts),
        user=users[-1] if users else None,
        groups=any(part.groups for part in parts),
        no_new_privileges=forbids[-1] if forbids else None,
        lines=tuple(line for part in parts for line in _lines(part)),
        **lists,
    )


def _lines(part: Declared) -> Iterator[tuple[str, int]]:
    keys = ("privileged", "user", "no_new_privileges")
    said = (part.privileged or None, part.user, part.no_new_privileges)
    yield from (
        (key, part.line) for key, value in zip(keys, said, strict=True) if value is not None
    )
    yield from ((cap, part.line) for cap in (*part.drop, *part.add))


def _unjudged(what: str, line: int) -> Declared:
    """A part that may give more than the file shows."""
    return Declared("", line, unjudged=((what, line),))


def _setting(key: str, node: Node) -> Iterator[Declared]:
    name, facts = _plain(key), _facts()
    if option := facts["options"].get(name):
        for item in _items(node):
            yield from _option(option, key, item)
    elif name in facts["words"]:
        yield _options(node)
    elif name == "features":
        yield from _features(node)
    elif name in facts["host-commands"]:
        yield Declared("", exposed=(ExposureAt(Exposure.HOST_COMMAND, key, node.line),))
    elif name in facts["elsewhere"] or name not in facts["harmless"]:
        why = facts["elsewhere"].get(name, "a setting that capadvise does not know")
        yield _unjudged(f"{key}: {why}", node.line)


def _option(option: str, key: str, node: Node) -> Iterator[Declared]:
    said, is_path = text_of(node) or "", option in ("volume", "mount")
    if isinstance(node, Mapping):
        yield from _of_mapping(option, key, node)
    elif said in ("", "null") or (option == "network" and "docker_network." in said):
        return  # a network of Terraform's own
    elif node.tag == EXPRESSION or (
        _pattern("computed").search(_known(said, "{{")) and not is_path
    ):
        if option in ("network", "uts", "user", "volume", "mount"):
            yield Declared("", variables=((said, node.line),))
        else:
            yield _unjudged(f"{key}: {said}, which only its tool can tell", node.line)
    elif option == "privileged":
        yield _judged(["--privileged"] if is_on(node) else [], node.line)
    elif option == "group-add":
        yield Declared("", groups=True)
    elif option != "volume" or ":" in said:  # else it is a folder of the container
        yield _judged([f"--{option}={said}"], node.line)


def _of_mapping(option: str, key: str, node: Mapping) -> Iterator[Declared]:
    """Capabilities, a network, a mount or a device in the form of keys and values."""
    inner = {"cap-add": ("add", "drop"), "network": ("name", "mode"), "user": ()}.get(option)
    for name in inner or ():
        for item in _values(node, name):
            yield from _option("cap-drop" if name == "drop" else option, f"{key}.{name}", item)
    if option in ("volume", "mount", "device"):
        yield from _of_host("device" if option == "device" else "mount", key, node)
    elif inner is None and node.pairs:
        yield _unjudged(f"{key}: keys and values", node.line)


def _of_host(option: str, key: str, node: Mapping) -> Iterator[Declared]:
    for each in walk(node):
        for item in _values(each, "fromcontainer", "driverconfig", "driveroptions"):
            yield _unjudged(f"{key}: something else decides what it mounts", item.line)
    rest = ",ro" if any(map(is_on, _values(node, "readonly", "ro"))) else ""
    if place := _text(node, "containerpath", "target", "destination", "dst").replace('"', '""'):
        rest += f',"dst={place}"'
    is_none = option == "mount" and _text(node, "type") in ("volume", "tmpfs", "npipe")
    for item in () if is_none else _values(node, "hostpath", "source", "src", "pathonhost"):
        said = text_of(item) or ""
        if isinstance(item, Mapping):
            yield from _of_host(option, key, item)
        elif option == "mount" and said:  # a line of CSV, as `docker run --mount` takes it
            quoted = "$X" if item.tag == EXPRESSION else said.replace('"', '""')
            yield from _option(option, key, scalar(f'"source={quoted}"{rest}', item.line))
        else:
            yield from _option(option, key, item)


def _known(text: str, computed: str = "$X") -> str:
    """With the folder of the project and the home in the place of their variables, and others
    where the tool fills in a part."""
    text = _pattern("home").sub("~", _pattern("own-folder").sub(".", text))
    return _pattern("template").sub(computed, text)


def _is_computed(text: str) -> bool:
    return _pattern("computed").search(_known(text, "{{")) is not None


def _words(text: str) -> list[str]:
    """The words of a command line; where its quotes do not match, more than it has."""
    said = _known(text)
    try:
        return shlex.split(said, comments=True)
    except ValueError:
        return said.replace('"', " ").replace("'", " ").split()


def _judged(words: list[str], line: int, name: str = "") -> Declared:
    """The options of a command line. A path that is filled in becomes a variable, and what gives
    power is not judged then."""
    words = list(map(_known, words))
    given, rest = Grammar.of("run").parse(words)
    filled = [each for each in given if "$" in (each.value or "")]
    unjudged = [each.word for each in filled if each.name in _facts()["giving"]]
    unjudged += [f"{word}: it can be options" for word in rest[:1] if word[:1] == "$" and rest[1:]]
    paths = [each.value or "" for each in filled if each.name in ("volume", "mount")]
    part = flags.declared(words, name, line)
    return replace(
        part,
        unjudged=(*part.unjudged, *((what, line) for what in unjudged)),
        variables=tuple((path, line) for path in paths if _pattern("variable").match(path)),
    )


def _options(node: Node) -> Declared:
    """The options of a text, or of a list of words."""
    is_list = isinstance(target(node), Sequence)
    said = [text_of(item) or "" for item in _items(node)]
    part = _judged(said if is_list else _words(" ".join(said)), node.line)
    odd = ((f"{part.image}: no option", node.line),) if part.image else ()
    return replace(part, unjudged=(*part.unjudged, *odd))


def _features(node: Node) -> Iterator[Declared]:
    facts = _facts()
    for key, each in _pairs(node):
        name = key.rpartition("/")[2].partition(":")[0].partition("@")[0]
        official = key.startswith(("ghcr.io/devcontainers/features/", name))
        if official and name in facts["features"]:
            yield _judged([facts["features"][name]], each.line)
        elif not official or name not in facts["harmless-features"]:
            yield _unjudged(f"the feature {key}, which can ask for privileges", each.line)


def _calls(node: Node, name: str) -> Iterator[Declared]:
    """The containers that the commands of a script start."""
    for each in _values(node, "cmd"):
        yield from _calls(each, name)
    argv = shlex.join(text_of(item) or "" for item in _values(node, "argv"))
    body = re.sub(r"\\\r?\n", "\0", text_of(node) or argv)
    line = node.line + (isinstance(node, Scalar) and node.style in ("|", ">"))
    for row in body.split("\n"):
        said = row.replace("\0", " ")
        calls = [] if said.lstrip().startswith("#") else list(_pattern("call").finditer(said))
        yield from (_judged(_words(call["rest"]), line, name) for call in calls)
        if (
            not calls
            and (power := _pattern("power").search(said))
            and not said.lstrip().startswith("#")
        ):
            yield from _unread(name, ((power[0], line),))
        line += 1 + row.count("\0")


# ------------------------------------------------------------------------------ pods


def _manifest(node: Node, name: str) -> Iterator[Declared]:
    """The containers of objects in a tree, or in a text. Values that are computed are left out, and
    named."""
    unknown: list[tuple[str, int]] = []
    try:
        whole: tuple[Node, ...] = (node,)
        if isinstance(node, Scalar):
            if node.tag == EXPRESSION or _is_computed(node.value):
                raise BadInput(f"line {node.line}: a manifest that its tool fills in")
            above = node.line - (node.style not in ("|", ">"))
            whole = tree.documents("\n" * above + node.value)
        yield from declared_in(Documents(tuple(_settled(x, unknown) for x in whole), DIALECT))
    except BadInput as error:
        unknown.append((str(error), node.line))
    yield from _unread(name, tuple(unknown))


def _object(node: Node, kind: str, name: str) -> Node:
    """The object that a resource of Terraform makes."""

    def text(value: str) -> Scalar:
        return scalar(value, node.line)

    pairs: Pairs = [(text("kind"), text(kind))]
    pairs.append((text("metadata"), mapping([(text("name"), text(name))], node.line)))
    return mapping([*pairs, *((text("spec"), spec) for spec in _values(node, "spec"))], node.line)


def _settled(node: Node, unknown: list[tuple[str, int]]) -> Node:
    """A manifest without what is computed; blocks of Terraform become the keys of a manifest."""
    node, facts = target(node), _facts()
    if isinstance(node, Sequence):
        inner = [_settled(item, unknown) for item in node.items]
        return sequence([item for item in inner if item.tag != EXPRESSION], node.line)
    if isinstance(node, Scalar):  # Terraform takes "true" for a switch
        return scalar(node.value, node.line) if node.value in ("true", "false") else node
    pairs: Pairs = []
    lists: dict[str, list[Node]] = {}
    for key, value in _pairs(node):
        new = _settled(value, unknown)
        if new.tag == EXPRESSION:
            if _is_telling(key):
                unknown.append((f"{key}: {text_of(new)}, which is computed", new.line))
            if key not in ("image", "name", "path"):
                continue
            new = scalar(f"${{{text_of(new)}}}", new.line)
        if key in facts["blocks"]:
            lists.setdefault(facts["blocks"][key], []).extend(_items(new))
        else:
            camel = re.sub(r"_([a-z])", lambda at: at[1].upper(), key)
            pairs.append((scalar(facts["odd-names"].get(key, camel), new.line), new))
    for name, items in lists.items():
        pairs.append((scalar(name, node.line), sequence(items, node.line)))
    return mapping(pairs, node.line)
