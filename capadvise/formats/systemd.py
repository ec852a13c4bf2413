"""systemd: the ``[Service]`` section of a unit."""

from __future__ import annotations

from capadvise.formats import unit
from capadvise.formats.declared import Declared
from capadvise.formats.snippet import Snippet, comment


def render(snippet: Snippet) -> str:
    """A drop-in. An empty value takes back what the unit says, to which these would be added."""
    lines = [
        f"# /etc/systemd/system/{snippet.name}.service.d/10-capadvise.conf\n",
        snippet.comments(more=(_note(snippet),)),
        "[Service]\nCapabilityBoundingSet=\n",
    ]
    for cap, reason in snippet.caps:
        lines.append(comment(f"{cap.short}: {reason}"))
        lines.append(f"CapabilityBoundingSet={cap.name}\n")
    lines.append("AmbientCapabilities=\n")
    if snippet.caps and not snippet.root:
        lines.append(f"AmbientCapabilities={' '.join(cap.name for cap, _ in snippet.caps)}\n")
    if snippet.no_new_privileges:
        lines.append("NoNewPrivileges=true\n")
    return "".join(lines)


def _note(snippet: Snippet) -> str:
    if snippet.root:
        return (
            "recorded as root: a unit with another User= also needs these as AmbientCapabilities="
        )
    return f"recorded as user {snippet.user}: the unit's own User= is left as it is"


def read(source: str) -> tuple[Declared, ...]:
    """The service of a unit or a drop-in, called ``service``: a unit's name is that of its file."""
    service = unit.section(source, "Service", "Socket", "Mount", "Swap")
    drop, add, places = _bounding(service)
    user = service.last("User")
    ambient = unit.words(service.values("AmbientCapabilities"))
    bounding = {name for name, _ in places}
    named = [(cap, line) for cap, line in ambient if cap not in bounding]
    said = any(assignment.key == "AmbientCapabilities" for assignment in service.assignments)
    return (
        Declared(
            service="service",
            line=service.line,
            drop=drop,
            add=add,
            ambient=tuple(cap for cap, _ in ambient) if said else None,
            user=user.value if user else ("dynamic" if service.flag("DynamicUser") else None),
            no_new_privileges=service.flag("NoNewPrivileges"),
            lines=(*([("user", user.line)] if user else []), *places, *named),
        ),
    )


def _bounding(
    service: unit.Section,
) -> tuple[tuple[str, ...], tuple[str, ...], list[tuple[str, int]]]:
    """(drop, add, lines), as systemd adds up its assignments: the first one replaces, later ones
    add to it, or take away with ``~``; an empty one stands for nothing, ``~`` alone for all."""
    everything, listed = True, dict[str, int]()
    for assignment in service.assignments:
        if assignment.key != "CapabilityBoundingSet":
            continue
        inverted = assignment.value.startswith("~")
        names = dict(
            unit.words([unit.Assignment("", assignment.value.lstrip("~"), assignment.line)])
        )
        if not names or (everything and not listed):
            everything, listed = inverted, names
        elif everything == inverted:  # more of the same
            listed |= names
        else:
            for name in names:
                listed.pop(name, None)
    places = list(listed.items())
    if everything:
        return tuple(listed), (), places
    return ("ALL",), tuple(listed), places
