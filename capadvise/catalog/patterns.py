"""Names of kernel functions against the patterns of the catalog."""

from __future__ import annotations

from collections.abc import Iterable


def among(name: str, patterns: Iterable[str]) -> bool:
    """Whether a name is one of these; ``*`` stands for anything."""
    return any(like(name, pattern) if "*" in pattern else pattern == name for pattern in patterns)


class Patterns:
    """Numbered patterns, of which a name matches few: those without ``*`` are not tried in turn."""

    def __init__(self, numbered: Iterable[tuple[int, str]]) -> None:
        self._names: dict[str, set[int]] = {}
        self._patterns: list[tuple[int, str]] = []
        for number, pattern in numbered:
            if "*" in pattern:
                self._patterns.append((number, pattern))
            else:
                self._names.setdefault(pattern, set()).add(number)

    def of(self, name: str) -> set[int]:
        """The numbers of those that match."""
        matching = {number for number, pattern in self._patterns if like(name, pattern)}
        return matching | self._names.get(name, set())


def like(name: str, pattern: str) -> bool:
    """``fnmatchcase`` for patterns whose only special character is ``*``: turning a hundred of them
    into regular expressions would take longer than all the rest of a short run's judgement."""
    first, *inner, last = pattern.split("*")
    if len(name) < len(first) + len(last) or not (name.startswith(first) and name.endswith(last)):
        return False
    at, end = len(first), len(name) - len(last)
    for part in inner:
        at = name.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True
