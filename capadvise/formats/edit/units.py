"""Unit files as systemd and quadlet read them: sections, repeated keys, lines that go on."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from capadvise.errors import BadInput
from capadvise.formats.edit.cuts import Cut, insert_lines, line_end, line_number, line_start
from capadvise.formats.unit import continues


@dataclass(frozen=True, slots=True)
class Entry:
    """``key=value`` from ``start`` to before the line break at ``end``."""

    section: str
    key: str
    value: str
    """With the lines that it goes on in joined by blanks."""
    start: int
    end: int

    @property
    def words(self) -> list[str]:
        """Without the quotes that a word can stand in."""
        return [word.strip("\"'") for word in self.value.split()]


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit file. Its text ends with a line break, or is empty."""

    text: str
    entries: tuple[Entry, ...]
    sections: dict[str, int]
    """Where the heading of each is, the last one of those that are repeated."""

    def all(self, section: str, *keys: str) -> list[Entry]:
        return [item for item in self.entries if item.section == section and item.key in keys]

    def live(self, section: str, key: str) -> list[Entry]:
        """The lines that count: an empty one takes back those before it."""
        found = self.all(section, key)
        empty = [index for index, item in enumerate(found) if not item.value]
        return found[empty[-1] + 1 :] if empty else found

    def emptied(self, section: str, key: str) -> bool:
        """Whether a line takes back what was said before it, be it in another file."""
        return any(not item.value for item in self.all(section, key))

    def last(self, section: str, key: str) -> str | None:
        """The value of a key that can stand once."""
        found = self.all(section, key)
        return found[-1].value if found else None

    def reason(self, entry: Entry) -> list[Cut]:
        """Remove the comment above a line on one capability that says why it is there, as an
        emitted file has it: it goes with the line."""
        names = [word.upper().removeprefix("CAP_") for word in entry.words]
        at = entry.start
        while at > 0:
            at = line_start(self.text, at - 1)
            if len(names) == 1 and self.text.startswith(f"# {names[0]}: ", at):
                return [Cut(at, entry.start)]
            if not self.text.startswith("#   ", at):
                break
        return []

    def add(self, section: str, lines: Iterable[str], *, after: Entry | None = None) -> Cut:
        """Lines after an entry, else at the end of a section, which is made where it is missing."""
        if after is not None:
            return insert_lines(self.text, after.end, lines)
        within = [item for item in self.entries if item.section == section]
        if section not in self.sections:
            head = ["", f"[{section}]"] if self.text.strip() else [f"[{section}]"]
            return insert_lines(self.text, len(self.text), [*head, *lines])
        at = max([self.sections[section], *(item.end for item in within)])
        return insert_lines(self.text, at, lines)


def parse(text: str) -> Unit:
    """Raises BadInput, with the line, for what is no unit file."""
    entries: list[Entry] = []
    sections: dict[str, int] = {}
    section, at, goes_on = "", 0, continues(text)
    while at < len(text):
        start, at = at, line_end(text, at)
        line = text[start:at].strip()
        if not line or line[0] in "#;":
            continue
        if heading := re.fullmatch(r"\[([^\]\n]+)\]", line):
            section = heading[1]
            sections[section] = start
            continue
        key, equals, value = line.partition("=")
        if not section or not equals:
            raise BadInput(f"line {line_number(text, start)}: it is neither a section nor a key=")
        value, at = _going_on(text, value, at, goes_on)
        entries.append(Entry(section, key.strip(), value.strip(), start, at - 1))
    return Unit(text, tuple(entries), sections)


def _going_on(text: str, value: str, at: int, goes_on: Callable[[str], bool]) -> tuple[str, int]:
    """A value with the lines after it that it goes on in. Comments between them are none."""
    while goes_on(value) and at < len(text):
        start, at = at, line_end(text, at)
        line = text[start:at].strip()
        if line[:1] not in ("#", ";"):
            value = f"{value[:-1]} {line}"
    return (value[:-1] if goes_on(value) else value), at


def same_but(old: Unit, new: Unit, keys: Sequence[str]) -> bool:
    """Whether two files say the same, these keys apart."""
    before, after = (
        [(item.section, item.key, item.value) for item in unit.entries if item.key not in keys]
        for unit in (old, new)
    )
    return before == after
