"""Checks ``catalog/capabilities``: one YAML file for each capability."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from capadvise.catalog.capabilities import (
    Attack,
    Condition,
    EditPlace,
    Edits,
    Entry,
    Remediation,
    Risk,
    Use,
)
from capadvise.catalog.circumstances import Circumstance, Where
from capadvise.model import strict
from capadvise.model.caps import Cap
from capadvise.model.errors import BadInput
from tests.generate.facts import values


def file_name(cap: Cap) -> str:
    """The file that describes a capability: ``net_raw.yaml``."""
    return f"{cap.short.lower()}.yaml"


def raw_entry(folder: Path, cap: Cap) -> Any:
    """Read the file of one capability. Raises BadInput if it is not YAML."""
    path = folder / file_name(cap)
    try:
        return strict.load(path, path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from error


def entry_of(path: Path, raw: Any) -> Entry:
    """Check the content of one capability's file."""
    entry = values.record(Entry, path, raw, own=_OF_ENTRY, keys={"cap": "name"})
    if entry.cap != entry.number or path.name != file_name(entry.cap):
        raise BadInput(f"{path}: name {raw['name']}, number {raw['number']} and file do not agree")
    return entry


def _initial_only(path: Path, raw: Any, key: str) -> bool:
    namespace = values.text(path, raw, key)
    if namespace not in ("owner", "initial"):
        at = strict.place(path, raw, key)
        raise BadInput(f"{at}: namespace {namespace!r} is neither owner nor initial")
    return namespace == "initial"


def _alternative(path: Path, raw: Any) -> tuple[tuple[Cap, ...], str]:
    strict.keys(path, raw, required=("caps", "for"))
    return values.caps(path, raw, "caps"), values.text(path, raw, "for")


def _risk(path: Path, raw: Any, key: str) -> Risk:
    value = raw[key]
    if value not in {str(risk) for risk in Risk}:
        at = strict.place(path, raw, key)
        raise BadInput(f"{at}: risk {value!r} is none of {', '.join(map(str, Risk))}")
    return Risk[str(value).upper()]


def parse_where(path: Path, raw: Any, key: str) -> Where:
    """Read ``[host-network, not host-user]`` under the key ``where``."""
    return tuple(_one(path, raw, item) for item in values.texts(path, raw, key))


def _one(path: Path, raw: Any, text: str) -> tuple[Circumstance, bool]:
    wanted = not text.startswith("not ")
    try:
        return Circumstance(text.removeprefix("not ")), wanted
    except ValueError as error:
        names = ", ".join(Circumstance)
        at = strict.place(path, raw, "where")
        raise BadInput(f"{at}: {text!r} in 'where' is none of {names}") from error


def _remediations(path: Path, raw: Any, key: str) -> tuple[Remediation, ...]:
    """An advice with ``opens`` is never the first."""
    own = {"do": _with_harm, "sites": values.texts, "edits": _parse_edits}
    remediations: tuple[Remediation, ...] = _list_of(Remediation, own, beside=("opens",))(
        path, raw, key
    )
    if remediations and "opens" in raw[key][0]:
        at = strict.place(path, raw[key][0], "opens")
        raise BadInput(f"{at}: the first remediation must not open anything")
    return remediations


def _with_harm(path: Path, raw: Any, key: str) -> str:
    """An advice, with what it opens at its end: every reader of the advice reads that."""
    opens = f" It opens something: {values.text(path, raw, 'opens')}." if "opens" in raw else ""
    return f"{values.text(path, raw, key)}{opens}"


def _parse_edits(path: Path, raw: Any, key: str) -> Edits:
    """The mapping ``edits``, sorted by place."""
    edits = raw[key]
    keys = [place.key for place in EditPlace]
    strict.keys(path, edits, required=(), optional=keys)
    for key in edits:
        if key != strict.LINE and not (isinstance(edits[key], str) and edits[key].strip()):
            raise BadInput(f"{strict.place(path, edits, key)}: {key!r} must be a text")
    return tuple((place, edits[place.key].strip("\n")) for place in EditPlace if place.key in edits)


def _list_of(kind: Callable[..., Any], own: Mapping[str, values.Read], **more: Any) -> values.Read:
    read = partial(values.record, kind, own=own, **more)
    return lambda path, raw, key: values.items(path, raw, key, read)


_OF_USE = {"remediation": _with_harm, "initial_only": _initial_only, "edits": _parse_edits}
_OF_ENTRY: Mapping[str, values.Read] = {
    "alternatives": lambda path, raw, key: values.items(path, raw, key, _alternative),
    "risk": _risk,
    "risk_conditions": _list_of(Condition, {"risk": _risk, "where": parse_where}),
    "attack": _list_of(Attack, {"where": parse_where}),
    "remediation": _remediations,
    "uses": _list_of(Use, _OF_USE, keys={"initial_only": "namespace"}, beside=("opens",)),
}
"""How the fields of an entry are read whose types do not say it."""
