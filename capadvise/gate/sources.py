"""Which format a file is of, and which compose files are one project. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from glob import escape
from pathlib import PurePath

from capadvise.errors import BadInput

_FIRST = re.compile(r"^( *)(?!---)[^\s#%]", re.MULTILINE)
"""The first key; the others of its mapping stand in the same column."""
_IN_BRACES = re.compile(r"""["']?apiVersion["']?\s*:|\{\s*["']?kind["']?\s*:""")
_UNITS = (".service", ".socket", ".mount", ".swap", ".conf")
_STEMS = ("compose", "docker-compose")


def recognize(path: str, text: str) -> str:
    """The format, by name and content. Raises BadInput for a file of none."""
    name = _unit(path).name
    if name.endswith(".container"):
        return "quadlet"
    if name.endswith(_UNITS):
        return "systemd"
    if text.lstrip().startswith("{") and '"ociVersion"' in text:
        return "oci"
    if _has_key(text, "apiVersion|kind") or (_in_braces(text) and _IN_BRACES.search(text)):
        return "kubernetes"
    if name.startswith(_STEMS) or _has_key(text, "services|include"):
        return "compose"
    raise BadInput(
        f"{path}: neither a compose file, a Kubernetes manifest, a quadlet, a unit nor config.json",
        hint="units and quadlets are known by their names: *.service, *.conf, *.container",
    )


def _in_braces(text: str) -> bool:
    return text.lstrip().startswith("{") and not text.lstrip().startswith("{{")  # Helm's


def _has_key(text: str, names: str) -> bool:
    """Whether a file has one of these keys at its top."""
    if _in_braces(text):
        return bool(re.match(rf"""\s*\{{\s*["']?(?:{names})["']?\s*:""", text))
    first = _FIRST.search(text)
    column = first[1] if first else ""
    return bool(re.search(rf"""^{column}["']?(?:{names})["']?\s*:""", text, re.MULTILINE))


def service_name(path: str, kind: str) -> str:
    """What a file's only service is called: ``web`` of ``web.service``, of its drop-ins, of
    ``web.container`` and of the bundle ``web/config.json``."""
    if kind == "oci":
        return PurePath(path).parent.name or "process"
    return _unit(path).stem.removesuffix("@")


def _unit(path: str) -> PurePath:
    """The unit that a file is, or is a drop-in of."""
    place = PurePath(path)
    dropped_in = place.suffix == ".conf" and place.parent.suffix == ".d"
    return place.parent.with_suffix("") if dropped_in else place


def projects(paths: Sequence[str]) -> list[list[str]]:
    """Files that belong together; each other file by itself.

    A compose file is an override of an earlier one in the same folder when it has the same name
    with a further part: ``compose.override.yaml`` and ``compose.prod.yaml`` of ``compose.yaml``.
    They count in the order given. A drop-in belongs to the unit or quadlet that lies beside its
    folder; they count in the order of their names.
    """
    found: list[list[str]] = []
    for path in sorted(dict.fromkeys(paths), key=dropped_in):  # after the units
        base = next((group for group in found if _overrides(path, group[0])), None)
        if base is None:
            found.append([path])
        else:
            base.append(path)
    for group in found:
        if dropped_in(group[-1]):
            group.sort(key=lambda path: (dropped_in(path), PurePath(path).name))
    return found


def read_besides(path: str) -> tuple[str, ...]:
    """Patterns of the files that the consumer of a file reads unasked."""
    place = PurePath(path)
    if place.stem in _STEMS:
        override = escape(str(place.with_name(f"{place.stem}.override")))
        return f"{override}.yaml", f"{override}.yml"
    unit = place.suffix in (".container", *_UNITS) and not dropped_in(path)
    return (f"{escape(path)}.d/*.conf",) if unit else ()


def dropped_in(path: str) -> bool:
    """Whether a file adds to a unit or a quadlet."""
    return _unit(path) != PurePath(path)


def _overrides(path: str, base: str) -> bool:
    one, two = PurePath(path), PurePath(base)
    if dropped_in(path):
        return _unit(path) == _unit(base)
    stem, *parts = one.name.split(".")
    base_stem, *base_parts = two.name.split(".")
    return (
        one.parent == two.parent
        and stem == base_stem
        and stem in _STEMS
        and len(parts) == 2
        and len(base_parts) == 1
    )
