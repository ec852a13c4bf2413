"""systemd: the section of a unit that says how its processes run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TYPE_CHECKING

from capadvise.config.comments import comment
from capadvise.config.consumer import capability_number
from capadvise.config.declared import Declared
from capadvise.config.systemd import exposed as unit_exposed
from capadvise.config.units import file as unit_file
from capadvise.config.units.names import dropped_in, unit_section
from capadvise.config.units.names import service_name as service_name
from capadvise.model.caps import NAMES
from capadvise.model.target import UNIT_KINDS, recorded_unit

if TYPE_CHECKING:
    from capadvise.config.snippet import Snippet


def render(snippet: Snippet) -> str:
    """A drop-in. An empty value takes back what the unit says, to which these would be added."""
    unit = _unit(snippet)
    lines = [
        f"# {drop_in_of(unit)}\n",
        snippet.comments(more=tuple(_notes(snippet))),
        f"[{UNIT_KINDS[PurePath(unit).suffix]}]\nCapabilityBoundingSet=\n",
    ]
    for cap, reason in snippet.caps:
        lines.append(comment(f"{cap.short}: {reason}"))
        lines.append(f"CapabilityBoundingSet={cap.name}\n")
    lines.append("AmbientCapabilities=\n")
    if snippet.caps and not snippet.root:
        lines.append(f"AmbientCapabilities={' '.join(cap.name for cap, _ in snippet.caps)}\n")
    if snippet.hardening:
        lines.append(comment("it was proven to work with all of these together"))
        lines += [f"{line}\n" for line in snippet.hardening]
    elif snippet.hardening is None and snippet.no_new_privileges:
        lines.append("NoNewPrivileges=true\n")
    return "".join(lines)


def _unit(snippet: Snippet) -> str:
    """The unit that was recorded, else one called as the target."""
    return recorded_unit(snippet.argv) or f"{snippet.name}.service"


def drop_in_of(unit: str) -> str:
    """Where capadvise's drop-in for a unit belongs. Those of ``systemctl edit`` (override.conf)
    are sorted after it, and count for more."""
    return f"/etc/systemd/system/{unit}.d/capadvise.conf"


def _notes(snippet: Snippet) -> Iterator[str]:
    if recorded_unit(snippet.argv):  # then its files say who it is
        return
    yield (
        "recorded as root: a unit with another User= also needs AmbientCapabilities= with "
        "the same list"
        if snippet.root
        else f"recorded as user {snippet.user}: the unit's own User= is left as it is"
    )


def read(source: str, path: str = "") -> tuple[Declared, ...]:
    """The service of a unit or a drop-in, called ``service``: a unit's name is that of its file,
    whose kind says which section counts. A drop-in need not say anything of it."""
    unit, section = unit_file.parse(source), unit_section(path)
    return (declared(unit.all_of(section) if dropped_in(path) else unit.section(section)),)


def read_together(sources: Sequence[str], path: str) -> tuple[Declared, ...]:
    """The service of a unit, as its drop-ins, which follow it, change it."""
    units = [unit_file.parse(source) for source in sources]
    return (declared(unit_file.together(units, unit_section(path))),)


def declared(service: unit_file.Section) -> Declared:
    """What a section says, or those of a unit and its drop-ins together."""
    drop, add, places = _bounding(service)
    user = service.last("User")
    ambient = _ambient(service)
    bounding = {name for name, _ in places}
    named = [(cap, line) for cap, line in ambient if cap not in bounding]
    return Declared(
        service="service",
        line=service.line,
        drop=drop,
        add=add,
        ambient=tuple(cap for cap, _ in ambient) if service.all("AmbientCapabilities") else None,
        user=None if unit_exposed.keeps_root(service) else _user(service),
        groups=any(map(service.values, ("Group", "SupplementaryGroups"))),
        no_new_privileges=service.flag("DynamicUser") or service.flag("NoNewPrivileges"),
        lines=(*([("user", user.line)] if user else []), *places, *named),
        exposed=tuple(unit_exposed.exposed(service)),
        withheld=tuple(unit_exposed.withheld(service)),
    )


def _user(service: unit_file.Section) -> str | None:
    user = service.last("User")
    return user.value if user else ("dynamic" if service.flag("DynamicUser") else None)


def _bounding(
    service: unit_file.Section,
) -> tuple[tuple[str, ...], tuple[str, ...], list[tuple[str, int]]]:
    """(drop, add, lines) of ``CapabilityBoundingSet=``; names that systemd does not know are in
    them, too, so that somebody says so."""
    total = add_up(service, "CapabilityBoundingSet")
    places = list(total.named.values()) + total.unknown
    if total.everything:
        return tuple(name for name, _ in places), (), places
    return ("ALL",), tuple(name for name, _ in places), places


def _ambient(service: unit_file.Section) -> list[tuple[str, int]]:
    """What ``AmbientCapabilities=`` raises, with the lines; unknown names too, as above."""
    total = add_up(service, "AmbientCapabilities")
    named = list(total.named.values())
    if total.everything:  # all but what is named
        line = service.all("AmbientCapabilities")[-1].line
        named = [(f"CAP_{name}", line) for n, name in enumerate(NAMES) if n not in total.named]
    return named + total.unknown


@dataclass(slots=True)
class Total:
    """What the assignments of a key come to: nothing but what is named, or everything else."""

    everything: bool
    named: dict[int, tuple[str, int]] = field(default_factory=dict)
    """Number → (name as written, line)."""
    unknown: list[tuple[str, int]] = field(default_factory=list)
    """Names that systemd leaves out, with their lines."""


def add_up(service: unit_file.Section, key: str) -> Total:
    """As systemd adds up its assignments (config_parse_capability_set): the first one replaces what
    there was, later ones add to it, or take away with ``~``. One without a capability that is known
    stands for nothing, and with ``~`` for everything."""
    untouched = key == "CapabilityBoundingSet"
    total = Total(everything=untouched)
    for item in service.all(key):
        inverted = item.value.startswith("~")
        said: dict[int, tuple[str, int]] = {}
        for name in unit_file.split(item.value[inverted:], item.line):
            number = capability_number(name)
            if number is None:
                total.unknown.append((name, item.line))
            else:
                said[number] = (name, item.line)
        if not said or (total.everything == untouched and not total.named):
            total.everything, total.named = inverted, said
        elif total.everything == inverted:  # more of the same
            total.named |= said
        else:
            total.named = {n: place for n, place in total.named.items() if n not in said}
    return total
