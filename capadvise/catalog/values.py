"""Makes the types of facts of plain values, as ``compiled.json`` has them.

Nothing is checked here: ``tests/generate/facts`` has checked what it wrote.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from enum import Enum
from functools import cache
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from capadvise.model.caps import Cap


def made(kind: Any, raw: Any) -> Any:
    """A value of a type. In a mapping for a dataclass, keys that are no fields mean nothing."""
    return _reader(kind)(raw)


@cache
def _reader(kind: Any) -> Callable[[Any], Any]:
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Cap:
        return Cap.parse
    if is_dataclass(kind):
        return _record_reader(kind)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind
    if origin is UnionType:  # the other one is None, which is left out
        return _reader(inner[0])
    if origin is Mapping:
        key, value = map(_reader, inner)
        return lambda raw: {key(name): value(item) for name, item in raw.items()}
    if origin is frozenset or inner[1:] == (...,):
        item = _reader(inner[0])
        return lambda raw: origin(map(item, raw))
    if origin is tuple:
        items = tuple(map(_reader, inner))
        return lambda raw: tuple(read(item) for read, item in zip(items, raw, strict=True))
    return lambda raw: raw


def _record_reader(kind: Any) -> Callable[[Any], Any]:
    fields = {name: _reader(hint) for name, hint in get_type_hints(kind).items()}
    return lambda raw: kind(**{key: fields[key](raw[key]) for key in raw if key in fields})
