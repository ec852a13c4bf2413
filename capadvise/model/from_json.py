"""Makes values of plain ones, as JSON has them, by the types of their fields."""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache, partial
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from capadvise.model.caps import Cap
from capadvise.model.errors import BadInput

_T = TypeVar("_T")


def value_of(kind: Callable[..., _T], raw: Any, own: Mapping[str, Any] | None = None) -> _T:
    """A dataclass from JSON; fields may be missing where they have a default, and keys that are no
    fields mean nothing. ``own``: fields that are written in a way of their own. Raises BadInput,
    KeyError for a missing field and ValueError for an unknown name."""
    expect(dict, raw)
    values = dict(own or {})
    for name, (read, needed) in _fields(kind).items():
        if name not in values and (needed or name in raw):
            values[name] = read(raw[name])
    return kind(**values)


@cache
def _fields(kind: Any) -> dict[str, tuple[Callable[[Any], Any], bool]]:
    """Field → how it is read, and whether it has no default."""
    hints = get_type_hints(kind)
    return {
        field.name: (
            _reader(hints[field.name]),
            field.default is field.default_factory is MISSING,
        )
        for field in fields(kind)
    }


@cache
def _reader(kind: Any) -> Callable[[Any], Any]:
    """How JSON is read as a dataclass, an enumeration, a capability, ``X | None``, a tuple, a
    ``frozenset[X]``, a mapping, a plain value, or whatever it is (``Any``)."""
    if origin := get_origin(kind):
        return _reader_of_several(origin, get_args(kind))
    if kind is Cap:
        return lambda raw: Cap.parse(expect(str, raw))
    if kind is float:
        return lambda raw: float(raw) if type(raw) is int else expect(float, raw)
    if kind in (Any, object):
        return lambda raw: raw
    if isinstance(kind, type) and is_dataclass(kind):
        return partial(value_of, kind)
    return kind if issubclass(kind, Enum) else partial(expect, kind)


def _reader_of_several(origin: Any, arguments: tuple[Any, ...]) -> Callable[[Any], Any]:
    items = [_reader(each) for each in arguments if each not in (NoneType, ...)]
    if origin is UnionType:
        (inner,) = items
        return lambda raw: None if raw is None else inner(raw)
    if origin in (dict, Mapping):
        key, value = items
        return lambda raw: {key(name): value(each) for name, each in expect(dict, raw).items()}
    if origin is frozenset or arguments[1:] == (...,):
        (item,) = items
        return lambda raw: origin(map(item, expect(list, raw)))
    return lambda raw: tuple(
        read(item) for read, item in zip(items, expect(list, raw), strict=True)
    )


def expect(kind: type, raw: Any) -> Any:
    """Return a value that has this type; a bool is no number. Raises BadInput."""
    if not isinstance(raw, kind) or (isinstance(raw, bool) and kind is not bool):
        raise BadInput(f"expected {kind.__name__}, found {raw!r:.60}")
    return raw
