"""Which format a file is of, and which compose files are one project. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePath

from capadvise.errors import BadInput

_KUBERNETES = re.compile(r"""^(?:\s*\{)?\s{0,4}["']?(?:apiVersion|kind)["']?\s*:""", re.MULTILINE)
_COMPOSE = re.compile(r"""^(?:\s*\{)?\s{0,4}["']?(?:services|include)["']?\s*:""", re.MULTILINE)
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
    if _KUBERNETES.search(text):
        return "kubernetes"
    if name.startswith(_STEMS) or _COMPOSE.search(text):
        return "compose"
    raise BadInput(
        f"{path}: neither a compose file, a Kubernetes manifest, a quadlet, a unit nor config.json",
        hint="units and quadlets are known by their names: *.service, *.conf, *.container",
    )


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
    for path in sorted(dict.fromkeys(paths), key=_is_dropped_in):  # after the units
        base = next((group for group in found if _overrides(path, group[0])), None)
        if base is None:
            found.append([path])
        else:
            base.append(path)
    for group in found:
        if _is_dropped_in(group[-1]):
            group.sort(key=lambda path: (_is_dropped_in(path), PurePath(path).name))
    return found


def _is_dropped_in(path: str) -> bool:
    return _unit(path) != PurePath(path)


def _overrides(path: str, base: str) -> bool:
    one, two = PurePath(path), PurePath(base)
    if _is_dropped_in(path):
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
