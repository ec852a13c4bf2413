"""The tracer's messages, checked: a target that is root can write into any pipe. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from capadvise.model.recording import Retried

Is = Callable[[Any], bool]


def decoded(line: bytes) -> dict[str, Any] | None:
    """What a line says; None where it is no message of the tracer's."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict):
        return None
    known = all(_KINDS.get(kind, _is_text)(value) for kind, value in message.items())
    return message if known else None


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_word(value: Any) -> bool:
    """The name of a call or of an error, which is shown as it is."""
    return isinstance(value, str) and value.isascii() and value.isprintable()


def _is_number(value: Any) -> bool:
    return type(value) is int and -(1 << 63) <= value < 1 << 63


def _is_mask(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 64


def _is_cap(value: Any) -> bool:
    return type(value) is int and 0 <= value < 64


def _is_time(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _or_none(kind: Is) -> Is:
    return lambda value: value is None or kind(value)


def _list_of(kind: Is) -> Is:
    return lambda value: isinstance(value, list) and all(map(kind, value))


def _row_of(*kinds: Is) -> Is:
    return lambda value: (
        isinstance(value, list)
        and len(value) == len(kinds)
        and all(kind(item) for kind, item in zip(kinds, value, strict=True))
    )


_FACT: Mapping[str, Is] = {
    "id": _is_number,
    "how": lambda value: value in list(Retried),
    "cap": _is_cap,
    "program": _is_text,
    "call": _is_word,
    "detail": _or_none(_is_text),
    "errno": _or_none(_is_word),
    "result": _or_none(_is_number),
    "together": _list_of(_is_cap),
    "changes": lambda value: isinstance(value, bool),
    "pid": _is_number,
    "uid": _or_none(_is_number),
    "at": _is_time,
}


def _is_fact(value: Any) -> bool:
    return isinstance(value, dict) and all(
        name in value and kind(value[name]) for name, kind in _FACT.items()
    )


_KINDS: Mapping[str, Is] = {
    "pid": _is_number,
    "started": _is_time,
    "fact": _is_fact,
    "counts": _list_of(_row_of(_is_number, _is_number, _is_number)),
    "refusals": _list_of(_row_of(_is_word, _is_word, _is_text, _list_of(_is_cap), _is_number)),
    "own_set": _row_of(_is_text, _is_mask),
    "handed": _row_of(_is_text, _is_mask),
    "looked": _is_text,
    "io_uring": lambda value: value is not None,
}
"""Kind of message → what it may hold. Of a kind that is not here a text is told to the user."""
MESSAGES = frozenset(_KINDS)
