"""docker compose: ``cap_drop`` and ``cap_add`` of a service."""

from __future__ import annotations

import os
from collections.abc import Iterator
from collections.abc import Mapping as Mapping_
from dataclasses import replace
from typing import TYPE_CHECKING

from capadvise.config import engine
from capadvise.config.compose import exposed as compose_exposed
from capadvise.config.compose.exposed import FALSE, TRUE
from capadvise.config.declared import Declared
from capadvise.config.run.exposed import profiles
from capadvise.config.yaml.reader import (
    Dialect,
    Documents,
    Entries,
    any_text,
    key_lines,
    line,
    optional_text,
    walk,
    wrong,
)
from capadvise.config.yaml.tree import Mapping, Node, Scalar, Sequence
from capadvise.model.errors import BadInput

if TYPE_CHECKING:
    from capadvise.config.snippet import Snippet

DIALECT = Dialect(
    tags=frozenset({"!override", "!reset"}),
    names=frozenset(
        (
            *("services", "include", "extends", "cap_add", "cap_drop", "privileged", "user"),
            *("security_opt", "pid", "ipc", "uts", "cgroup", "network_mode", "volumes", "devices"),
            *("device_cgroup_rules", "post_start", "pre_stop", "build", "entitlements"),
            *("use_api_socket", "provider"),
        )
    ),
)
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
    if engine.no_new_privileges(snippet):
        lines.append("    security_opt:\n      - no-new-privileges:true\n")
    if values := engine.sysctls(snippet):
        lines.append("    sysctls:\n")
        lines += [f"      {key}: {value}\n" for key, value in values.items()]
    return "".join(lines)


def read(source: str, path: str = "") -> tuple[Declared, ...]:
    """The services of a compose file. Variables and ``extends`` are left as written."""
    folder = os.path.dirname(os.path.abspath(path)) if path else ""
    documents = Documents(source, DIALECT)
    services: dict[str, Declared] = {}
    joins: dict[tuple[str, str], tuple[str, int]] = {}
    for keys in tops(documents):  # compose takes several documents as several files
        project = compose_exposed.Project.of(documents, keys, folder)
        lines = key_lines(keys.get("services"))
        for name, node in documents.mapping(keys.get("services"), "services").items():
            if name in services:
                raise BadInput(f"line {line(node)}: service {name!r:.80} appears twice")
            at = lines.get(name, line(node))
            services[name] = _service(documents, name, node, at, project)
            for key, other, place in compose_exposed.joined(documents.mapping(node, "a service")):
                joins[name, key] = other, place
    for (name, key), (other, place) in joins.items():
        owner = services.get(_owner(name, key, joins))
        more = compose_exposed.exposed_by(key, owner.exposed if owner else (), other, place)
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
    """Whether a variable is in a value that is judged, be it with a default."""
    documents = Documents(source, DIALECT)
    judged: list[Node] = []
    for keys in tops(documents):
        judged += [keys[name] for name in ("volumes", "networks") if name in keys]
        for group in ("secrets", "configs"):
            for item in documents.mapping(keys.get(group), group).values():
                judged += [v for k, v in documents.mapping(item, group).items() if k == "file"]
        for service in documents.mapping(keys.get("services"), "services").values():
            entries = documents.mapping(service, "a service")
            judged += [entries[name] for name in _WITH_VARIABLES if name in entries]
    each = (node for top in judged for node in walk(top))
    return any(isinstance(node, Scalar) and "$" in node.value for node in each)


def includes(source: str) -> bool:
    """Whether a compose file takes in others, in whichever spelling."""
    return any("include" in keys for keys in tops(Documents(source, DIALECT)))


def included(source: str) -> list[str]:
    """The files that a compose file takes in, as it names them. Raises BadInput."""
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


def _service(
    documents: Documents, name: str, node: Node, at: int, project: compose_exposed.Project
) -> Declared:
    keys = documents.mapping(node, f"service {name!r:.80}")
    drop = documents.texts(keys.get("cap_drop"), "cap_drop")
    add = documents.texts(keys.get("cap_add"), "cap_add")
    options = documents.texts(keys.get("security_opt"), "security_opt")
    said = [(value, at) for option, at in options if (value := _no_new_privileges(option))]
    places: list[tuple[str, int]] = [
        *((key, line(keys[key])) for key in ("privileged", "user") if key in keys),
        *(("no_new_privileges", at) for _, at in said),
    ]
    return Declared(
        service=name,
        image=any_text(keys.get("image")),
        line=at,
        drop=tuple(cap for cap, _ in drop),
        add=tuple(cap for cap, _ in add),
        privileged=_privileged(keys),
        user=optional_text(keys.get("user"), "user"),
        groups=bool(documents.items(keys.get("group_add"), "group_add")),
        no_new_privileges=said[-1][0] in TRUE if said else None,
        lines=(*places, *drop, *add),
        unresolved=tuple(_unresolved(keys, [*drop, *add, *options])),
        exposed=tuple(compose_exposed.exposed(documents, keys, project)),
        unjudged=tuple(compose_exposed.unjudged(documents, keys)),
        variables=tuple(compose_exposed.variables(documents, keys, project)),
        profiles=tuple(profiles(options)),
    )


def _no_new_privileges(option: str) -> str:
    """``true`` for ``no-new-privileges``, what it is set to, or nothing for another option."""
    name, _, value = option.replace("=", ":", 1).partition(":")
    return (value.strip().lower() or "true") if name.strip() == "no-new-privileges" else ""


def _privileged(keys: Entries) -> bool:
    """Compose takes texts too, as variables make them."""
    said = optional_text(keys.get("privileged"), "privileged")
    if said is None or "$" in said:
        return False
    if said.lower() not in (*TRUE, *FALSE):
        raise wrong(keys["privileged"], "privileged", "true or false")
    return said.lower() in TRUE


def _unresolved(keys: Entries, caps: list[tuple[str, int]]) -> Iterator[tuple[str, int]]:
    if "extends" in keys:
        yield "extends", line(keys["extends"])
    for key in ("privileged", "user", *compose_exposed.SWITCHES):
        if key in keys and "$" in (optional_text(keys[key], key) or ""):
            yield key, line(keys[key])
    yield from ((text, at) for text, at in caps if "$" in text)
