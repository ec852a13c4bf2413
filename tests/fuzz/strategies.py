"""Hostile values: what a traced process, or somebody who hands over a file, could make up."""

from __future__ import annotations

import copy
import unicodedata
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

CONTROL = "\x1b]0;title\x07\x1b[2J\r\n\x00\x9b31m\u202e\u2028\ud800"
"""Escape sequences, line ends, NUL, a C1 control, a direction override, a lone surrogate."""

TEXTS = st.one_of(
    st.sampled_from(
        [
            *("", " ", "-", "---", "{}", "[red]x[/red]", "*/ #", "$(id)", "`id`", "'\"", "\\"),
            *("a: b", "!!python/object", "&a *a", "%s", "{0}", "..", "/", "x" * 5000, CONTROL),
        ]
    ),
    st.text(max_size=40),
    st.text(st.sampled_from(CONTROL + "ab:#'\"{}[]$`\\"), max_size=20),
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    TEXTS,
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


INTERESTING = (0, 1, 0x7F, 0x80, 0xFF)
CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["flip", "add", "set", "cut", "repeat"]),
        st.floats(0, 1, exclude_max=True),
        st.integers(0, 255),
    ),
    min_size=1,
    max_size=12,
)
"""What ``changed`` does, in this order: a kind, a place, a value."""


def changed(raw: bytes, changes: Sequence[tuple[str, float, int]]) -> bytes:
    """The bytes, damaged as AFL damages them: flipped, added to, set, cut, repeated."""
    data = bytearray(raw)
    for kind, where, value in changes:
        if not data:
            break
        at = int(where * len(data))
        match kind:
            case "flip":
                data[at] ^= 1 << value % 8
            case "add":
                data[at] = (data[at] + value) % 256
            case "set":
                data[at] = INTERESTING[value % len(INTERESTING)]
            case "cut":
                del data[at : at + value % 16 + 1]
            case "repeat":
                data[at:at] = data[at : at + value]
    return bytes(data)


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to all that a value consists of, itself first."""
    found = [at]
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            found += places(value[key], (*at, key))
    return found


@st.composite
def mutated(draw: st.DrawFn, original: Any, values: st.SearchStrategy[Any] = VALUES) -> Any:
    """A document with one to three of its parts replaced, removed or added."""
    changed = copy.deepcopy(original)
    for _ in range(draw(st.integers(1, 3))):
        where = places(changed)[1:]
        if not where:
            break
        *way, last = draw(st.integers(0, len(where) - 1).map(where.__getitem__))
        inner = changed
        for step in way:
            inner = inner[step]
        match draw(st.sampled_from(["replace", "replace", "remove", "add"])):
            case "replace":
                inner[last] = draw(values)
            case "remove":
                del inner[last]
            case "add" if isinstance(inner, dict):
                inner[draw(TEXTS)] = draw(values)
            case "add":
                inner.insert(last, draw(values))
    return changed


HARMLESS = frozenset("\n\t")


def steering(text: str) -> set[str]:
    """What of a text could steer a terminal."""
    return {
        char
        for char in text
        if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") and char not in HARMLESS
    }
