"""Text that came from a traced process, made safe to show. Names and paths are hostile input."""

from __future__ import annotations

import unicodedata

_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Control characters, direction overrides, surrogates, unassigned, line separators."""


def printable(text: str) -> str:
    """The text with all that could steer a terminal or break a line written as an escape."""
    return "".join(
        char.encode("unicode_escape").decode() if unicodedata.category(char) in _UNSAFE else char
        for char in text
    )
