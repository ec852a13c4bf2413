"""The specifiers of units, as far as the name of a unit settles them."""

from __future__ import annotations

import re
from dataclasses import replace

from capadvise.config.units.file import Section
from capadvise.config.units.names import OTHER_QUADLETS, unit_of

_FIXED = {
    **{
        "t": "/run",
        "h": "/home/~",
        "E": "/etc",
        "S": "/var/lib",
        "C": "/var/cache",
        "L": "/var/log",
    },
    **{"T": "/tmp", "V": "/var/tmp", "u": "root", "U": "0", "g": "root", "G": "0", "%": "%"},
}
"""Specifiers with one value for a service of the system; a home is somebody's."""


def specified(section: Section, path: str, raw: str = "Exec") -> Section:
    """A section with the specifiers that the name of its unit settles; others stay as written, as
    do the keys that match ``raw``."""
    each = (
        item
        if "%" not in item.value or re.match(raw, item.key)
        else replace(item, value=_specified(item.value, path))
        for item in section.assignments
    )
    return replace(section, assignments=tuple(each))


def _specified(text: str, path: str) -> str:
    unit, values = unit_of(path), dict(_FIXED)
    if re.fullmatch(r"[\w:.@-]+", unit.stem):  # else it has escapes, or is that of a whole type
        prefix, template, instance = unit.stem.partition("@")
        last, whole = prefix.rpartition("-")[2], unit.stem
        if unit.suffix in OTHER_QUADLETS and unit.suffix != ".kube":
            whole = f"{prefix}-{unit.suffix[1:]}{template}{instance}"
        values |= {"p": prefix, "P": _plain(prefix), "j": last, "J": _plain(last)}
        if instance:
            values |= {"i": instance, "I": _plain(instance)}
        if instance or not template:
            values |= {"N": whole, "n": f"{whole}.service", "f": f"/{_plain(instance or prefix)}"}
    return re.sub("%(.)", lambda found: values.get(found[1], found[0]), text)


def _plain(name: str) -> str:
    """As systemd unescapes a part of a name: a dash stands for a slash."""
    return name.replace("-", "/")
