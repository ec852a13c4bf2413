"""Which format a file is of, and which files are one project. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from collections.abc import Mapping as Mapping_
from glob import escape
from pathlib import PurePath
from typing import Any

from capadvise.formats import compose_names, quadlet
from capadvise.formats.manifests import REFERRING
from capadvise.formats.yaml_reader import Documents, is_null
from capadvise.formats.yaml_tree import EMPTY, Mapping, Node, Scalar, ambiguous, entries, target
from capadvise.model.errors import BadInput
from capadvise.model.target import UNIT_KINDS

QUADLETS = (".container", *quadlet.OTHERS)
"""Suffixes of podman's units."""
COMPOSE_NAMES = ("compose", "docker-compose")
_COMPOSE_KEYS = ("name", "version", "include", "networks", "volumes", "configs", "secrets")
OVERRIDES = tuple(f"{stem}.override" for stem in COMPOSE_NAMES)
CHARTS = ("Chart.yaml", "kustomization.yaml", "kustomization.yml", "Kustomization")
"""Files that say where others come from."""


def recognize(path: str, text: str) -> str | None:
    """The format, by name and content; None for a file of none. Raises BadInput, with the line, for
    what is not YAML, and for what two formats claim."""
    place = _unit(path)
    if place.suffix in QUADLETS:
        return "quadlet"
    if place.suffix in UNIT_KINDS or (place.suffix == ".conf" and dropped_in(path)):
        return "systemd"
    claims = set(_claims(path, Documents(text).roots))
    if text.lstrip("\ufeff \t\r\n").startswith("{") and _is_bundle(path, text):
        claims.add("oci")
    if not claims and not text.strip() and PurePath(path).name.startswith(COMPOSE_NAMES):
        return "compose"
    if not claims and (odd := _odd_key(Documents(text).roots)):
        raise ambiguous(odd, "a key at the top that is no plain text")
    if len(claims) > 1:
        raise BadInput(
            f"line 1: ambiguous: it is {' and '.join(sorted(claims))} at once",
            hint="put each into a file of its own",
        )
    return next(iter(claims), None)


def _claims(path: str, roots: Sequence[Node]) -> Iterator[str]:
    name = PurePath(path).name
    named = name.startswith(COMPOSE_NAMES)
    for root in roots:
        keys = entries(root)
        kind = target(keys.get("kind", EMPTY))
        if name in CHARTS and isinstance(kind, Scalar) and kind.value in ("", *REFERRING):
            yield "referring"
        elif "kind" in keys or "apiVersion" in keys:
            yield "kubernetes"
        elif named and isinstance(target(root), Mapping):
            yield "compose"
        if _has_services(keys) or ("include" in keys and all(_is_compose_key(key) for key in keys)):
            yield "compose"


def _odd_key(roots: Sequence[Node]) -> int | None:
    """The line of a key that some reader could take for ``kind`` or ``services``."""
    for root in map(target, roots):
        for key, _ in root.pairs if isinstance(root, Mapping) else ():
            if not isinstance(key, Scalar) or key.tag is not None:
                return key.line
    return None


def _has_services(keys: Mapping_[str, Node]) -> bool:
    node = target(keys.get("services", EMPTY))
    return isinstance(node, Mapping) or ("services" in keys and is_null(node))


def _is_compose_key(key: str) -> bool:
    return key in _COMPOSE_KEYS or key.startswith("x-")


def _is_bundle(path: str, text: str) -> bool:
    """runc takes keys in any case, and a config.json that names no version."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return '"ociVersion"' in text  # broken: its reader says where
    keys = _any_case(value)
    process = _any_case(keys.get("process"))
    starts = PurePath(path).name == "config.json" and not process.keys().isdisjoint(_OF_PROCESS)
    return "ociversion" in keys or starts


_OF_PROCESS = ("args", "capabilities")


def _any_case(value: Any) -> dict[str, Any]:
    return {key.casefold(): item for key, item in value.items()} if isinstance(value, dict) else {}


_KEYS = ("kind", "apiVersion", "items", "services", "ociVersion", "process")
_WRITTEN_KEYS = rf"""["'](?:{"|".join(_KEYS)})["']\s*:|\\u00"""


def can_be_ours(text: str) -> bool:
    """Whether JSON that cannot be read as YAML can say something to somebody who reads JSON."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return re.search(_WRITTEN_KEYS, text) is not None
    return isinstance(value, dict) and not value.keys().isdisjoint(_KEYS)


def is_compose(path: str, text: str) -> bool:
    """Other programs have files with services, too: theirs say nothing of containers."""
    if PurePath(path).name.startswith(("compose", "docker-compose")):
        return True
    services = [entries(root).get("services", EMPTY) for root in Documents(text).roots]
    each = [entries(service) for group in services for service in entries(group).values()]
    return any(not keys.keys().isdisjoint(_OF_COMPOSE) for keys in each)


_OF_COMPOSE = (
    *("image", "build", "extends", "provider", "privileged", "cap_add", "cap_drop", "security_opt"),
    *("network_mode", "pid", "volumes", "volumes_from", "devices", "device_cgroup_rules"),
    *("use_api_socket", "post_start", "pre_stop"),
)


def refers(text: str) -> list[tuple[str, str, int]]:
    """(kind, what resolves it, line) of the objects of a manifest that bring in other files."""
    referring = []
    for root in Documents(text).roots:
        keys = entries(root)
        node = keys.get("kind", EMPTY)
        kind = target(node)
        if isinstance(kind, Scalar) and kind.value in REFERRING:
            referring.append((kind.value, REFERRING[kind.value], kind.line))
    return referring


def service_name(path: str, kind: str) -> str:
    """What a file's only service is called: ``web`` of ``web.service``, of its drop-ins, of
    ``web.container`` and of the bundle ``web/config.json``."""
    if kind == "oci":
        return PurePath(path).parent.name or "process"
    return _unit(path).stem.removesuffix("@")


def template_of(path: str) -> str | None:
    """The file of an instance, ``a@.service`` of ``a@x.service``; None for any other unit."""
    place = PurePath(path)
    first, _, instance = place.stem.partition("@")
    return str(place.with_name(f"{first}@{place.suffix}")) if instance else None


def called_after(paths: Sequence[str]) -> str:
    """The path that a unit and its drop-ins are called after: of those of an instance, its own."""
    for unit in map(_unit, paths[1:]):
        template = template_of(unit.name)
        if template is not None and template == PurePath(paths[0]).name:
            return str(unit)
    return paths[0]


def unit_section(path: str) -> str:
    """The section of a unit in which systemd looks for its capabilities."""
    return UNIT_KINDS.get(_unit(path).suffix, "Service")


def unit_suffix(path: str) -> str:
    """``.container`` of a quadlet and of its drop-ins."""
    return _unit(path).suffix


def _unit(path: str) -> PurePath:
    """The unit that a file is, or is a drop-in of; those of a whole type are of any (``*``)."""
    place = PurePath(path)
    if place.suffix != ".conf" or place.parent.suffix != ".d":
        return place
    unit = place.parent.with_suffix("")
    return unit.with_name(f"*.{unit.name}") if f".{unit.name}" in _KINDS else unit


_KINDS = (*QUADLETS, *UNIT_KINDS)


def read_besides(path: str) -> tuple[str, ...]:
    """Patterns of the files that the consumer of a file reads unasked. Of the overrides, docker
    compose reads only the first."""
    place = PurePath(path)
    if place.stem in COMPOSE_NAMES:
        return tuple(escape(str(place.with_name(name))) for name in compose_names.OVERRIDES)
    return tuple(f"{escape(folder)}/*.conf" for folder in drop_in_folders(path))


def drop_in_folders(path: str) -> tuple[str, ...]:
    """Where the drop-ins of a unit lie, the most special first: those of ``foo-bar.service`` in
    ``foo-bar.service.d``, ``foo-.service.d`` and ``service.d``; an instance has its template's."""
    place = PurePath(path)
    if dropped_in(path) or place.suffix not in _KINDS:
        return ()
    stems = (_quadlet_stems if place.suffix in QUADLETS else _unit_stems)(place.stem)
    names = [f"{stem}{place.suffix}" for stem in dict.fromkeys(stems)] + [place.suffix[1:]]
    return tuple(str(place.with_name(f"{name}.d")) for name in names)


def _unit_stems(stem: str) -> Iterator[str]:
    """As systemd looks for them (unit_file_find_dirs): what lies in ``a-@x.service.d`` is for
    ``a-b@x.service``, too."""
    yield stem
    prefix, _, instance = stem.partition("@")
    if instance:
        yield from _unit_stems(f"{prefix}@")
    head, dash, _ = prefix.removesuffix("-").rpartition("-")
    if dash:
        yield from _unit_stems(f"{head}-@{instance}" if instance else f"{head}-")


def _quadlet_stems(stem: str) -> Iterator[str]:
    """As podman does (GetUnitDropinPaths)."""
    yield stem
    prefix, at, _ = stem.partition("@")
    if at:
        yield f"{prefix}@"
    parts = prefix.split("-")
    for count in range(len(parts) - 1, 0, -1):
        shorter = "-".join(parts[:count]) + "-"
        yield from ([f"{shorter}@", shorter] if at else [shorter])


def dropped_in(path: str) -> bool:
    """Whether a file adds to a unit or a quadlet."""
    return _unit(path) != PurePath(path)
