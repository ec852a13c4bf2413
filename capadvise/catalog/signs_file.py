"""Reading ``catalog/signs.yaml``: apart from the values, which a run needs without YAML."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from capadvise.catalog import values
from capadvise.catalog.signs import ImportSign, Sign
from capadvise.model import clone_flags, strict
from capadvise.model.errors import BadInput

_NUMBERS = ("many-links", "few-states", "many-settings")
_CALLS = ("gives-up-rights", "about-itself")
_SECTIONS = (
    *("functions", "symbols", "numbers", "calls", "asked", "entered", "overlay_prefix"),
    "failed_anyway",
)


def parse_signs(path: Path, text: str) -> dict[str, Any]:
    """The facts of a text, checked, as JSON values; ``path`` is for messages.

    Raises BadInput with file and line.
    """
    raw = strict.load(path, text)
    strict.keys(path, raw, required=_SECTIONS)
    functions = _named(path, raw["functions"], tuple(Sign))
    symbols = _named(path, raw["symbols"], tuple(ImportSign))
    calls = _named(path, raw["calls"], _CALLS)
    strict.keys(path, raw["numbers"], required=_NUMBERS)
    numbers = {key: _number(path, raw["numbers"][key]) for key in _NUMBERS}
    asked, entered = _texts(path, raw["asked"]), _texts(path, raw["entered"])
    if unknown := [flag for flag in entered.values() if flag not in clone_flags.NAMES.values()]:
        raise BadInput(f"{strict.place(path, raw, 'entered')}: {unknown[0]!r} makes no namespace")
    failed = values.texts(path, raw, "failed_anyway")
    if unknown := [name for name in failed if not hasattr(errno, name)]:
        at = strict.place(path, raw, "failed_anyway")
        raise BadInput(f"{at}: {unknown[0]!r} is not the name of an error")
    return {
        "functions": functions,
        "symbols": symbols,
        "numbers": numbers,
        "calls": calls,
        "asked": asked,
        "entered": entered,
        "overlay_prefix": values.text(path, raw, "overlay_prefix"),
        "failed_anyway": list(failed),
    }


def _texts(path: Path, raw: Any) -> dict[str, str]:
    return {key: values.text(path, raw, key) for key in raw if key != strict.LINE}


def _named(path: Path, raw: Any, roles: Sequence[str]) -> dict[str, list[str]]:
    strict.keys(path, raw, required=roles)
    for role in roles:
        strict.keys(path, raw[role], required=("names", "tells", "source"))
        values.text(path, raw[role], "tells")
        values.text(path, raw[role], "source")
    return {str(role): list(values.texts(path, raw[role], "names")) for role in roles}


def _number(path: Path, raw: Any) -> int:
    strict.keys(path, raw, required=("value", "tells", "source"))
    if not isinstance(raw["value"], int):
        raise BadInput(f"{strict.place(path, raw, 'value')}: 'value' must be a number")
    return int(raw["value"])
