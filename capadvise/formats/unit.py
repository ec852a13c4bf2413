"""Unit files of systemd and quadlet: sections, keys that may be said several times."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from capadvise.errors import BadInput

MAX_LENGTH = 1 << 20
"""A longer text is not a unit."""
_TRUE = ("1", "yes", "y", "true", "t", "on")
_FALSE = ("0", "no", "n", "false", "f", "off")


@dataclass(frozen=True, slots=True)
class Assignment:
    """``key=value``, with its line."""

    key: str
    value: str
    line: int


@dataclass(frozen=True, slots=True)
class Section:
    """A section, or what all sections of the same name hold together."""

    line: int
    assignments: tuple[Assignment, ...]

    def values(self, key: str) -> list[Assignment]:
        """What a key is set to, in order; an empty value takes back what was said before it."""
        said: list[Assignment] = []
        for assignment in self.assignments:
            if assignment.key == key and assignment.value:
                said.append(assignment)
            elif assignment.key == key:
                said.clear()
        return said

    def last(self, key: str) -> Assignment | None:
        """What a key that has one value is set to."""
        return next(reversed(self.values(key)), None)

    def flag(self, key: str) -> bool | None:
        """A yes or no; None where it is not said. Raises BadInput for anything else."""
        said = self.last(key)
        if said is None:
            return None
        if said.value.lower() not in (*_TRUE, *_FALSE):
            raise BadInput(f"line {said.line}: {key}= must be true or false")
        return said.value.lower() in _TRUE


def section(source: str, *names: str) -> Section:
    """The one section of these that a unit file has. Raises BadInput, with the line, where the
    text is not of this form, or has none of them."""
    if len(source) > MAX_LENGTH:
        raise BadInput(f"{len(source)} characters are too many: the limit is {MAX_LENGTH}")
    current, first, found = None, None, []
    for number, text in _logical(source):
        if text.startswith("["):
            if not text.endswith("]"):
                raise BadInput(f"line {number}: a section must be written as [Name]")
            current = text[1:-1]
            first = number if first is None and current in names else first
            continue
        key, equals, value = text.partition("=")
        if not equals or current is None:
            raise BadInput(f"line {number}: neither a section nor KEY=VALUE")
        if current in names:
            found.append(Assignment(key.strip(), value.strip(), number))
    if first is None:
        raise BadInput(f"line 1: it has no section [{names[0]}]")
    return Section(first, tuple(found))


def _logical(source: str) -> Iterator[tuple[int, str]]:
    """(line, text) without comments and empty lines; a backslash at the end joins lines."""
    parts: list[str] = []
    start, goes_on = 1, continues(source)
    for number, line in enumerate(source.split("\n"), 1):
        stripped = line.strip()
        if stripped.startswith(("#", ";")):
            continue  # also in the middle of a continued line
        start = start if parts else number
        parts.append(stripped[:-1] if goes_on(stripped) else stripped)
        if not goes_on(stripped):
            if text := " ".join(parts).strip():
                yield start, text
            parts = []
    if text := " ".join(parts).strip():
        yield start, text


_QUADLET = re.compile(r"^\s*\[Container\]", re.MULTILINE)


def continues(source: str) -> Callable[[str], bool]:
    """Whether the next line belongs to a line. For podman any backslash at its end says so; for
    systemd two of them are one that is meant (both tried)."""
    if _QUADLET.search(source):
        return lambda line: line.endswith("\\")
    return lambda line: (len(line) - len(line.rstrip("\\"))) % 2 == 1


def words(assignments: list[Assignment]) -> list[tuple[str, int]]:
    """The words of all values, each with its line; quotes are taken off."""
    found = []
    for assignment in assignments:
        try:
            found += [(word, assignment.line) for word in shlex.split(assignment.value)]
        except ValueError as error:
            raise BadInput(f"line {assignment.line}: {error}") from error
    return found
