"""Edits to unit files: lines added, and comments that go with the line they are about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from capadvise.config.declared import Declared
from capadvise.config.patched import odd
from capadvise.config.snippet import Snippet
from capadvise.config.text_edits import TextEdit, apply, insert_lines, line_start
from capadvise.config.units.file import Assignment, Unit, parse, split


def reason(unit: Unit, item: Assignment) -> list[TextEdit]:
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
