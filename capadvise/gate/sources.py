"""Which format a file is of, and which files are one project. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from collections.abc import Mapping as Mapping_
from glob import escape
from pathlib import PurePath

from capadvise.errors import BadInput
from capadvise.formats.manifests import REFERRING
from capadvise.formats.yaml_reader import Documents, is_null
from capadvise.formats.yaml_tree import EMPTY, Mapping, Node, Scalar, entries, target

UNIT_KINDS = {".service": "Service", ".socket": "Socket", ".mount": "Mount", ".swap": "Swap"}
"""Suffix of a unit → the section in which systemd looks for capabilities."""
_COMPOSE_NAMES = ("compose", "docker-compose")
_COMPOSE_KEYS = ("name", "version", "include", "networks", "volumes", "configs", "secrets")
_OVERRIDES = tuple(f"{stem}.override" for stem in _COMPOSE_NAMES)
CHARTS = ("Chart.yaml", "kustomization.yaml", "kustomization.yml", "Kustomization")
"""Files that say where others come from."""


def recognize(path: str, text: str) -> str | None:
    """The format, by name and content; None for a file of none. Raises BadInput, with the line, for
    what is not YAML, and for what two formats claim."""
    place = _unit(path)
    if place.suffix == ".container":
        return "quadlet"
    if place.suffix in UNIT_KINDS or (place.suffix == ".conf" and dropped_in(path)):
        return "systemd"
    claims = set(_claims(path, Documents(text).roots))
    if text.lstrip("\ufeff \t\r\n").startswith("{") and _is_bundle(text):
        claims.add("oci")
    if not claims and not text.strip() and PurePath(path).name.startswith(_COMPOSE_NAMES):
        return "compose"
    if len(claims) > 1:
        raise BadInput(
            f"line 1: ambiguous: it is {' and '.join(sorted(claims))} at once",
            hint="put each into a file of its own",
        )
    return next(iter(claims), None)


def _claims(path: str, roots: Sequence[Node]) -> Iterator[str]:
    name = PurePath(path).name
    named = name.startswith(_COMPOSE_NAMES)
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


def _has_services(keys: Mapping_[str, Node]) -> bool:
    node = target(keys.get("services", EMPTY))
    return isinstance(node, Mapping) or ("services" in keys and is_null(node))


def _is_compose_key(key: str) -> bool:
    return key in _COMPOSE_KEYS or key.startswith("x-")


def _is_bundle(text: str) -> bool:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return '"ociVersion"' in text  # broken: its reader says where
    return isinstance(value, dict) and "ociVersion" in value


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


def unit_section(path: str) -> str:
    """The section of a unit in which systemd looks for its capabilities."""
    return UNIT_KINDS.get(_unit(path).suffix, "Service")


def _unit(path: str) -> PurePath:
    """The unit that a file is, or is a drop-in of."""
    place = PurePath(path)
    is_drop_in = place.suffix == ".conf" and place.parent.suffix == ".d"
    return place.parent.with_suffix("") if is_drop_in else place


def projects(paths: Sequence[str]) -> list[list[str]]:
    """Files that belong together; each other file by itself.

    A compose file is an override of an earlier one in the same folder when it has the same name
    with a further part: ``compose.override.yaml`` and ``compose.prod.yaml`` of ``compose.yaml``.
    They count in the order given. A drop-in belongs to the unit or quadlet that lies beside its
    folder; they count in the order of their names.
    """
    groups: dict[tuple[str, ...], list[str]] = {}
    for path in sorted(dict.fromkeys(paths), key=dropped_in):  # after the units
        own, base = (path,), _base(path)
        groups.setdefault(base if base in groups else own, []).append(path)
        if (main := _main(path)) is not None:
            groups.setdefault(main, groups[own])
    groups_in_order = list({id(group): group for group in groups.values()}.values())
    for group in groups_in_order:
        if dropped_in(group[-1]):
            group.sort(key=lambda path: (dropped_in(path), PurePath(path).name))
    return groups_in_order


def _main(path: str) -> tuple[str, ...] | None:
    """The name under which a file's additions find it."""
    place = PurePath(path)
    stem, *parts = place.name.split(".")
    if stem in _COMPOSE_NAMES and len(parts) == 1:
        return str(place.parent), stem
    is_unit = place.suffix in (".container", *UNIT_KINDS)
    return ("unit", str(place)) if is_unit else None


def _base(path: str) -> tuple[str, ...]:
    """The name under which an addition finds what it is added to."""
    place = PurePath(path)
    if dropped_in(path):
        return "unit", str(_unit(path))
    stem, *parts = place.name.split(".")
    if stem in _COMPOSE_NAMES and len(parts) == 2:
        return str(place.parent), stem
    return (path,)


def read_besides(path: str) -> tuple[str, ...]:
    """Patterns of the files that the consumer of a file reads unasked."""
    place = PurePath(path)
    if place.stem in _COMPOSE_NAMES:
        overrides = [escape(str(place.with_name(name))) for name in _OVERRIDES]
        return tuple(f"{name}.{suffix}" for name in overrides for suffix in ("yaml", "yml"))
    if dropped_in(path) or place.suffix not in (".container", *UNIT_KINDS):
        return ()
    # foo-bar.service, foo-.service and service have their drop-ins; so has the template foo@.
    first, at, _ = place.stem.partition("@")
    stems = [place.stem, *([f"{first}@"] if at else [])]
    parts = place.stem.split("-")
    stems += ["-".join(parts[:count]) + "-" for count in range(1, len(parts))]
    names = [f"{stem}{place.suffix}" for stem in dict.fromkeys(stems)] + [place.suffix[1:]]
    return tuple(f"{escape(str(place.with_name(name)))}.d/*.conf" for name in names)


def dropped_in(path: str) -> bool:
    """Whether a file adds to a unit or a quadlet."""
    return _unit(path) != PurePath(path)
