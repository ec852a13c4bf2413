"""Values of a report file, read with care: raises BadInput for a wrong type."""

from __future__ import annotations

from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from capadvise.model.errors import BadInput
from capadvise.model.escape import printable

_T = TypeVar("_T")


def optional(value: Any, kind: type[_T]) -> _T | None:
    """The value, which must be of exactly this type, or None."""
    if value is not None and type(value) is not kind:
        raise BadInput(f"expected {kind.__name__} or null, found {value!r:.60}")
    return value


def text(value: Any) -> str:
    """The value, which must be a text."""
    if not isinstance(value, str):
        raise BadInput(f"expected a text, found {value!r:.60}")
    return value


def value_of(kind: Any, raw: Any) -> Any:
    """What JSON says, as a type: a dataclass, whose fields may be missing where they have a
    default, an enumeration, ``X | None``, ``tuple[X, ...]``, ``dict[str, X]`` or a plain value."""
    if isinstance(kind, type) and is_dataclass(kind):
        _expect(dict, raw)
        return kind(
            **{
                name: value_of(hint, raw[name])
                for name, (hint, needed) in _fields(kind).items()
                if needed or name in raw
            }
        )
    arguments = get_args(kind)
    if get_origin(kind) is UnionType:
        (inner,) = (each for each in arguments if each is not NoneType)
        return None if raw is None else value_of(inner, raw)
    if get_origin(kind) is tuple:
        _expect(list, raw)
        return tuple(value_of(arguments[0], item) for item in raw)
    if get_origin(kind) is dict:
        _expect(dict, raw)
        return {text(name): value_of(arguments[1], item) for name, item in raw.items()}
    if issubclass(kind, Enum):
        return kind(raw)
    _expect(kind, raw)
    return raw


def _expect(kind: type, raw: Any) -> None:
    if type(raw) is not kind:
        raise BadInput(f"expected {kind.__name__}, found {raw!r:.60}")


@cache
def _fields(kind: type) -> dict[str, tuple[Any, bool]]:
    """Field → its type, and whether it has no default."""
    hints = get_type_hints(kind)
    return {
        field.name: (hints[field.name], field.default is field.default_factory is MISSING)
        for field in fields(kind)
    }


def texts(value: Any) -> tuple[str, ...]:
    """The value, which must be a list of texts."""
    if not isinstance(value, list):
        raise BadInput(f"expected a list of texts, found {value!r:.60}")
    return tuple(map(text, value))


def word(value: Any) -> str:
    """A name that the kernel gave. It is shown as it is: no program can choose it, but whoever
    writes a report file can."""
    name = text(value)
    if printable(name) != name:
        raise BadInput(f"{name!r:.60} is no name of a call, of a function or of an error")
    return name
