"""Unit files as systemd and quadlet read them: one parser for reading and for patching.

Sections, repeated keys, lines that go on, words with quotes and escapes. After systemd's
``conf-parser.c`` and ``extract-word.c`` and podman's ``pkg/systemd/parser``; a line that two
versions of these could read differently is refused as ambiguous.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from capadvise.config.yaml.tree import ambiguous
from capadvise.model.errors import BadInput

MAX_LENGTH = 1 << 20
"""A longer text is not a unit."""
BLANKS = " \t\r\n"
_TRUE = ("1", "yes", "y", "true", "t", "on")
_FALSE = ("0", "no", "n", "false", "f", "off")
_HEADING = r"\[([^\[\]\x00-\x1f\x7f]+)\]"
_KEY = r"[\x21-\x7e]+"
# A lone carriage return and NUL end a line for systemd, and not for others.
_CONTROL = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x9f]|\r(?!\n)"


@dataclass(frozen=True, slots=True)
class Assignment:
    """``key=value`` from ``start`` to before the line break at ``end``."""

    section: str
    key: str
    value: str
    """With the lines that it goes on in, joined as its reader joins them."""
    line: int
    start: int = 0
    end: int = 0


@dataclass(frozen=True, slots=True)
class Section:
    """The content of all sections of one name together."""

    line: int
    assignments: tuple[Assignment, ...]
    others: tuple[Assignment, ...] = ()
    """The content of the other sections."""

    def all(self, *keys: str) -> list[Assignment]:
        """The values of keys, in order, empty ones too."""
        return [item for item in self.assignments if item.key in keys]

    def values(self, key: str) -> list[Assignment]:
        """The values of a key, in order; an empty value takes back the earlier ones."""
        said: list[Assignment] = []
        for assignment in self.all(key):
            if assignment.value:
                said.append(assignment)
            else:
                said.clear()
        return said

    def last(self, key: str) -> Assignment | None:
        """The value of a key that has one."""
        return next(reversed(self.values(key)), None)

    def flag(self, key: str) -> bool | None:
        """A yes or no; None where it is not said. Raises BadInput for anything else."""
        said = self.last(key)
        if said is None:
            return None
        if (value := flag_of(said.value)) is None:
            raise BadInput(f"line {said.line}: {key}= must be true or false")
        return value


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit file."""

    text: str
    assignments: tuple[Assignment, ...]
    headings: dict[str, tuple[int, int]]
    """Section → (line of its first heading, offset of its last)."""

    def section(self, *names: str) -> Section:
        """All of these sections. Raises BadInput where there is none."""
        lines = [self.headings[name][0] for name in names if name in self.headings]
        if not lines:
            raise BadInput(f"line 1: it has no section [{names[0]}]")
        return self.all_of(*names, line=min(lines))

    def all_of(self, *names: str, line: int = 1) -> Section:
        """All of these sections, empty where there is none."""
        within = tuple(item for item in self.assignments if item.section in names)
        others = tuple(item for item in self.assignments if item.section not in names)
        return Section(line, within, others)


def parse(text: str, *, quadlet: bool = False) -> Unit:
    """Raises BadInput, with the line, for what is no unit file, and where it is ambiguous."""
    if len(text) > MAX_LENGTH:
        raise BadInput(f"{len(text)} characters are too many: the limit is {MAX_LENGTH}")
    if control := re.search(_CONTROL, text):
        number = text.count("\n", 0, control.start()) + 1
        raise ambiguous(number, "a control character, or a line that ends in CR alone")
    assignments: list[Assignment] = []
    headings: dict[str, tuple[int, int]] = {}
    section = ""
    for number, start, end, logical in _logical(text, quadlet=quadlet):
        if heading := re.fullmatch(_HEADING, logical):
            section = heading[1]
            headings[section] = (headings.get(section, (number,))[0], start)
            continue
        if logical.startswith("["):
            raise BadInput(f"line {number}: a section must be written as [Name]")
        key, equals, value = logical.partition("=")
        if not equals or not section:
            raise BadInput(f"line {number}: neither a section nor KEY=VALUE")
        key, value = key.strip(BLANKS), value.strip(BLANKS)
        if not re.fullmatch(_KEY, key):
            raise ambiguous(number, "a key with blanks or non-ASCII letters")
        assignments.append(Assignment(section, key, value, number, start, end))
    return Unit(text, tuple(assignments), headings)


def _logical(text: str, *, quadlet: bool) -> Iterator[tuple[int, int, int, str]]:
    """(line, start, end, text) without comments and empty lines; a backslash at the end joins
    lines. For podman any backslash there says so, for systemd two of them are one that is meant."""
    parts: list[str] = []
    first = start = at = 0
    for number, raw in enumerate(text.split("\n"), 1):
        here, at = at, at + len(raw) + 1
        line = raw.strip(BLANKS)
        _check_edges(raw, number)
        if line.startswith(("#", ";")):
            continue  # also in the middle of a continued line
        if not parts:
            first, start = number, here
        elif not line and quadlet:
            raise ambiguous(number, "an empty line inside a continued line")
        parts.append(line if quadlet else raw.rstrip("\r"))
        if _goes_on(parts, quadlet=quadlet):
            parts[-1] = parts[-1][:-1] + ("" if quadlet else " ")
            continue
        if logical := "".join(parts).strip(BLANKS):
            yield first, start, here + len(raw), logical
        parts = []
    if logical := "".join(parts).strip(BLANKS):
        yield first, start, len(text), logical


def _check_edges(raw: str, number: int) -> None:
    """Blanks that only some readers take off."""
    if raw.strip() != raw.strip(BLANKS):
        raise ambiguous(number, "a non-ASCII blank at the edge of a line")


def _goes_on(parts: list[str], *, quadlet: bool) -> bool:
    if quadlet:
        return parts[-1].endswith("\\")
    trailing = len(parts[-1]) - len(parts[-1].rstrip("\\"))
    return trailing % 2 == 1


# ------------------------------------------------------------------------------ words

Escapes = Literal["drop", "keep", "c", "shell-like"]
"""A backslash is dropped (systemd's lists) or kept (quadlet's lists), or it begins an escape as in
C (PodmanArgs=), of which unknown ones are kept (Exec lines)."""


def words(assignments: list[Assignment], escapes: Escapes = "drop") -> list[tuple[str, int]]:
    """The words of all values, each with its line; quotes are taken off."""
    return [
        (word, assignment.line)
        for assignment in assignments
        for word in split(assignment.value, assignment.line, escapes)
    ]


def split(value: str, line: int, escapes: Escapes = "drop") -> list[str]:
    """The words of a value. Raises BadInput for an unclosed quote, and for an empty word in a
    list: for podman it ends the list."""
    whole_words: list[str] = []
    word: list[str] | None = None
    for piece in (*_pieces(value, line, escapes), None):
        if piece is not None:
            word = word or []
            word.append(piece)
            continue
        if word is not None and not (whole := "".join(word)) and escapes in ("drop", "keep"):
            raise ambiguous(line, "an empty word in a list")
        if word is not None:
            whole_words.append(whole)
        word = None
    return whole_words


def _pieces(value: str, line: int, escapes: Escapes) -> Iterator[str | None]:
    """Parts of words; None where a word ends."""
    quote, at = "", 0
    while at < len(value):
        char = value[at]
        at += 1
        if char == "\\" and escapes != "keep":
            piece, at = _escaped(value, at, line, escapes)
            yield piece
        elif quote:
            yield "" if char == quote else char
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
            yield ""
        else:
            yield None if char in BLANKS else char
    if quote:
        raise BadInput(f"line {line}: an unclosed quote")


_SIMPLE = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_SIMPLE |= {"\\": "\\", '"': '"', "'": "'", "s": " "}
_NUMBERS = r"x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})"


def _escaped(value: str, at: int, line: int, escapes: Escapes) -> tuple[str, int]:
    """The character of an escape, and the offset behind it. Raises BadInput for an unknown one."""
    char = value[at : at + 1]
    if escapes == "drop":
        return char, at + 1
    if char in _SIMPLE:
        return _SIMPLE[char], at + 1
    number = re.compile(_NUMBERS).match(value, at)
    if number is not None:
        digits, octal = number[1] or number[2] or number[3], number[4]
        code = int(octal, 8) if octal else int(digits, 16)
        if 0 < code <= 0x10FFFF and not 0xD800 <= code < 0xE000:
            return chr(code), number.end()
    if escapes == "c":  # podman drops the whole value then
        raise ambiguous(line, "an unknown backslash escape")
    return "\\" + char, at + 1


def flag_of(text: str) -> bool | None:
    """Yes or no as systemd spells it; None for anything else."""
    lower = text.lower()
    return lower in _TRUE if lower in (*_TRUE, *_FALSE) else None


def together(units: Sequence[Unit], *names: str, drop_in: bool = False) -> Section:
    """These sections of a unit and of its drop-ins. Raises BadInput where the first has none,
    unless it is a ``drop_in``, too."""
    first, *drop_ins = units
    section = first.all_of(*names) if drop_in else first.section(*names)
    more = [unit.all_of(*names) for unit in drop_ins]
    return Section(
        section.line,
        (*section.assignments, *(item for each in more for item in each.assignments)),
        (*section.others, *(item for each in more for item in each.others)),
    )
