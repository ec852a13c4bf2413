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
    name = PurePath(path).name
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


def projects(paths: Sequence[str]) -> list[list[str]]:
    """Compose files that belong together, in the order given; each other file by itself.

    A file is an override of an earlier one in the same folder when it has the same name with a
    further part: ``compose.override.yaml`` and ``compose.prod.yaml`` of ``compose.yaml``.
    """
    found: list[list[str]] = []
    for path in dict.fromkeys(paths):
        base = next((group for group in found if _overrides(path, group[0])), None)
        if base is None:
            found.append([path])
        else:
            base.append(path)
    return found


def _overrides(path: str, base: str) -> bool:
    one, two = PurePath(path), PurePath(base)
    stem, *parts = one.name.split(".")
    base_stem, *base_parts = two.name.split(".")
    return (
        one.parent == two.parent
        and stem == base_stem
        and stem in _STEMS
        and len(parts) == 2
        and len(base_parts) == 1
    )
