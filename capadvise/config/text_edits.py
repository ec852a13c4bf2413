"""Changing a text by cutting and inserting at offsets, line-wise where lines are meant."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from capadvise.model.errors import CannotPatch


@dataclass(frozen=True, slots=True, order=True)
class TextEdit:
    """Replace ``text[start:end]``."""

    start: int
    end: int
    new: str = ""


def apply(text: str, cuts: Iterable[TextEdit]) -> str:
    """The text with all cuts made; where two touch, insertions keep their order. Raises CannotPatch
    where two overlap: an alias in what goes with its anchor."""
    parts, at = [], 0
    for cut in sorted(cuts, key=lambda cut: (cut.start, cut.end)):
        if cut.start < at:
            raise CannotPatch(
                f"line {line_number(text, cut.start)}: an alias inside its own anchor"
            )
        parts += [text[at : cut.start], cut.new]
        at = cut.end
    return "".join([*parts, text[at:]])


BOM = "\ufeff"


@dataclass(frozen=True, slots=True)
class NormalizedText:
    """A text without its byte order mark and with a line break at its end."""

    body: str
    mark: str
    missing: str

    @classmethod
    def of(cls, text: str) -> NormalizedText:
        missing = newline(text) if text and not text.endswith("\n") else ""
        return cls(text.removeprefix(BOM) + missing, BOM if text.startswith(BOM) else "", missing)

    def restore(self, body: str) -> str:
        """A changed body, begun and ended as the text was."""
        return self.mark + body.removesuffix(self.missing)


def line_start(text: str, at: int) -> int:
    """The offset of the first character of the line that ``at`` is in."""
    return text.rfind("\n", 0, at) + 1


def line_end(text: str, at: int) -> int:
    """The offset after the line break of the line that ``at`` is in."""
    at_break = text.find("\n", at)
    return len(text) if at_break < 0 else at_break + 1


def line_number(text: str, at: int) -> int:
    """Counted from 1."""
    return text.count("\n", 0, at) + 1


def newline(text: str) -> str:
    """The line break that the file uses."""
    return "\r\n" if text.count("\r\n") * 2 > text.count("\n") else "\n"


def insert_lines(text: str, at: int, lines: Iterable[str]) -> TextEdit:
    """Whole lines after the line that ``at`` is in. The text's last line has a line break."""
    end, break_ = line_end(text, at), newline(text)
    return TextEdit(end, end, "".join(line + break_ for line in lines))


def replace_lines(text: str, start: int, end: int, lines: Iterable[str] = ()) -> list[TextEdit]:
    """Other lines in place of those from the one that ``start`` is in to the one that ``end`` is
    in. Lines that hold nothing but a comment stay: they may be about something else."""
    first, last, break_ = line_start(text, start), line_end(text, end), newline(text)
    cuts = [TextEdit(first, first, "".join(line + break_ for line in lines))]
    at = first
    while at < last:
        next_ = line_end(text, at)
        if not re.match(r"[ \t]*#", text[at:next_]):
            cuts.append(TextEdit(at, next_))
        at = next_
    return cuts
