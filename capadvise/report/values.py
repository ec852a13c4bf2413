"""Single values of a report file, read with care: raises BadInput for a wrong type."""

from __future__ import annotations

from typing import Any, TypeVar

from capadvise.errors import BadInput

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
