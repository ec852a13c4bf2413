"""Edits to unit files: lines added, and comments that go with the line they are about."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from capadvise.config.declared import Declared
from capadvise.config.patched import odd
from capadvise.config.snippet import Snippet
from capadvise.config.text_edits import TextEdit, apply, insert_lines, line_start, replace_lines
from capadvise.config.units.file import Assignment, Escapes, Unit, parse, split

_T = TypeVar("_T")


def _reason(unit: Unit, item: Assignment) -> list[TextEdit]:
    """Remove the comment above a line on one capability that says why it is there, as an emitted
    file has it: it goes with the line."""
    names = [word.upper().removeprefix("CAP_") for word in split(item.value, item.line)]
    at = item.start
    while at > 0:
        at = line_start(unit.text, at - 1)
        if len(names) == 1 and unit.text.startswith(f"# {names[0]}: ", at):
            return [TextEdit(at, item.start)]
        if not unit.text.startswith("#   ", at):
            break
    return []


_PROVENANCE = re.compile(r"(?m)^# capadvise: the \w+ set.*\n(?:#   .*\n)*")


def without_provenance(text: str) -> str:
    """Remove the comment that says what a set rests on, before another one is written."""
    return _PROVENANCE.sub("", text)


def add(
    unit: Unit, section: str, lines: Iterable[str], *, after: Assignment | None = None
) -> TextEdit:
    """Lines after an assignment, else at the end of a section, which is made where it is
    missing."""
    if after is not None:
        return insert_lines(unit.text, after.end, lines)
    if section not in unit.headings:
        head = ["", f"[{section}]"] if unit.text.strip() else [f"[{section}]"]
        return insert_lines(unit.text, len(unit.text), [*head, *lines])
    within = [item.end for item in unit.assignments if item.section == section]
    return insert_lines(unit.text, max([unit.headings[section][1], *within]), lines)


def staying(
    live: Iterable[Assignment],
    wanted: Iterable[_T],
    read: Callable[[str], _T | None],
    escapes: Escapes = "drop",
) -> list[dict[_T, str]]:
    """The words of each line that stay, by their meaning; each meaning stays once."""
    kept: list[dict[_T, str]] = []
    missing = set(wanted)
    for item in live:
        stays: dict[_T, str] = {}
        for word in split(item.value, item.line, escapes):
            if (meaning := read(word)) is not None and meaning in missing:
                missing.remove(meaning)
                stays[meaning] = word
        kept.append(stays)
    return kept


def keep(
    unit: Unit,
    live: Sequence[Assignment],
    kept: Sequence[Mapping[_T, str]],
    escapes: Escapes = "drop",
) -> list[TextEdit]:
    """Leave the words that stay in each line; a line without any goes, with its reason."""
    edits: list[TextEdit] = []
    for item, stays in zip(live, kept, strict=True):
        if list(stays.values()) != split(item.value, item.line, escapes):
            line = [f"{item.key}={' '.join(stays.values())}"] if stays else []
            edits += [] if stays else _reason(unit, item)
            edits += replace_lines(unit.text, item.start, item.end, line)
    return edits


def replace_all(unit: Unit, live: Sequence[Assignment], lines: Iterable[str]) -> list[TextEdit]:
    """Put lines in the place of the first assignment; the others go."""
    edits = replace_lines(unit.text, live[0].start, live[0].end, lines)
    for item in live[1:]:
        edits += replace_lines(unit.text, item.start, item.end)
    return edits


def emptied(unit: Unit, section: str, key: str) -> bool:
    """True if a line takes back earlier values, even those of another file."""
    return any(not item.value for item in unit.all_of(section).all(key))


def same_but(old: Unit, new: Unit, keys: Sequence[str]) -> bool:
    """True if two files say the same, except for these keys."""
    before, after = (
        [(item.section, item.key, item.value) for item in unit.assignments if item.key not in keys]
        for unit in (old, new)
    )
    return before == after


_KEY = "NoNewPrivileges"
_CAPABILITIES = (
    *("DropCapability", "AddCapability", "CapabilityBoundingSet", "AmbientCapabilities"),
)


def restrained(
    body: str, section: str, declared: Declared, snippet: Snippet, *, quadlet: bool
) -> str:
    """A unit whose programs gain no privileges."""
    if declared.no_new_privileges or not snippet.no_new_privileges:
        return body
    unit = parse(body, quadlet=quadlet)
    said = unit.all_of(section).all(_KEY)
    if said:
        edits = [TextEdit(item.start, item.end, f"{_KEY}=true") for item in said]
    else:
        near = unit.all_of(section).all(*_CAPABILITIES)
        edits = [add(unit, section, [f"{_KEY}=true"], after=near[-1] if near else None)]
    new = parse(apply(body, edits), quadlet=quadlet)
    if not same_but(unit, new, (_KEY,)):
        raise odd("the unit")
    return new.text
