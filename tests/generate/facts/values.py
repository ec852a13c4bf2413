"""Kinds of values in files of facts: a text, texts, capabilities, and whole dataclasses of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache, partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar, get_args, get_type_hints

from capadvise.model import strict
from capadvise.model.caps import NAMES, Cap, CapSet
from capadvise.model.errors import BadInput

_T = TypeVar("_T")
Read = Callable[[Path, Any, str], Any]
"""Reads the value of one key: (path for messages, the mapping that holds it, key)."""
_NOTHING: Mapping[str, Any] = MappingProxyType({})


def text(path: Path, raw: Any, key: str) -> str:
    """A text that is not empty; line breaks become blanks."""
    value = raw[key]
    if not isinstance(value, str) or not value.strip():
        raise BadInput(f"{strict.place(path, raw, key)}: {key!r} must be a text")
    return " ".join(value.split())


def script(path: Path, raw: Any, key: str) -> str:
    """A command of a shell that is not empty; line breaks stay."""
    text(path, raw, key)
    return str(raw[key]).strip("\n")


def texts(path: Path, raw: Any, key: str) -> tuple[str, ...]:
    """A list of texts, none of them twice."""
    value = raw[key]
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise BadInput(f"{strict.place(path, raw, key)}: {key!r} must be a list of texts")
    listed = tuple(" ".join(item.split()) for item in value)
    if twice := [item for item in listed if listed.count(item) > 1]:
        raise BadInput(f"{strict.place(path, raw, key)}: {twice[0]!r} appears twice in {key!r}")
    return listed


def cap(path: Path, raw: Any, name: Any) -> Cap:
    """A capability by its kernel name; ``raw`` is the mapping that holds it."""
    if not isinstance(name, str) or name not in _CAPS:
        raise BadInput(f"{strict.place(path, raw)}: {name!r} is not the name of a capability")
    return _CAPS[name]


def caps(path: Path, raw: Any, key: str) -> tuple[Cap, ...]:
    """A list of capabilities, none of them twice, in the order of the file."""
    return tuple(cap(path, raw, name) for name in texts(path, raw, key))


def items(path: Path, raw: Any, key: str, read: Callable[[Path, Any], _T]) -> tuple[_T, ...]:
    """A list, with its items read one by one."""
    if not isinstance(raw[key], list):
        raise BadInput(f"{strict.place(path, raw, key)}: {key!r} must be a list")
    return tuple(read(path, item) for item in raw[key])


def record(
    kind: Callable[..., _T],
    path: Path,
    raw: Any,
    *,
    own: Mapping[str, Read] = _NOTHING,
    keys: Mapping[str, str] = _NOTHING,
    beside: tuple[str, ...] = (),
) -> _T:
    """A dataclass from a mapping whose keys are its fields; one with a default may be missing.

    ``own``: how a field is read whose type does not say it. ``keys``: field → the key in the file,
    if that is another one. ``beside``: optional keys that the reader of another key looks at.
    Raises BadInput with file, line and key.
    """
    known = {keys.get(name, name): (name, *how) for name, how in _fields(kind).items()}
    needed = [key for key, (_, _, is_needed) in known.items() if is_needed]
    strict.keys(path, raw, required=needed, optional=(*known, *beside))
    read = {key: own.get(name, by_type) for key, (name, by_type, _) in known.items()}
    return kind(**{known[key][0]: read[key](path, raw, key) for key in known if key in raw})


@cache
def _fields(kind: Any) -> dict[str, tuple[Read, bool]]:
    """Field → how its type is read, and whether it has no default."""
    hints = get_type_hints(kind)
    return {
        field.name: (_reader(hints[field.name]), field.default is field.default_factory is MISSING)
        for field in fields(kind)
    }


def _reader(kind: Any) -> Read:
    item: Any = next(iter(get_args(kind)), None)
    if isinstance(kind, type) and is_dataclass(kind):
        return lambda path, raw, key: record(kind, path, raw[key])
    if isinstance(item, type) and is_dataclass(item):
        return lambda path, raw, key: items(path, raw, key, partial(record, item))
    return _READERS.get(kind, text)


def _cap_set(path: Path, raw: Any, key: str) -> CapSet:
    return frozenset(caps(path, raw, key))


def _plain(kind: type, name: str, path: Path, raw: Any, key: str) -> Any:
    if type(raw[key]) is not kind:
        raise BadInput(f"{strict.place(path, raw, key)}: {key!r} must be {name}")
    return raw[key]


_READERS: Mapping[Any, Read] = {
    tuple[str, ...]: texts,
    tuple[Cap, ...]: caps,
    CapSet: _cap_set,
    Cap: lambda path, raw, key: cap(path, raw, raw[key]),
    int: partial(_plain, int, "a number"),
    bool: partial(_plain, bool, "true or false"),
}
"""How values of a type are read; others are texts."""
_CAPS = {f"CAP_{name}": Cap(number) for number, name in enumerate(NAMES)}
