"""Kinds of values in files of facts: a text, texts, capabilities."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from capadvise.model import strict
from capadvise.model.caps import NAMES, Cap
from capadvise.model.errors import BadInput


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


_CAPS = {f"CAP_{name}": Cap(number) for number, name in enumerate(NAMES)}
