"""The names of unit files and their drop-ins, the places where systemd and podman look for them,
and the specifiers that the names settle."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import PurePath
from typing import TYPE_CHECKING

from capadvise.model.target import IDLE_KINDS, UNIT_KINDS

if TYPE_CHECKING:
    from capadvise.config.units.file import Section

OTHER_QUADLETS = {
    ".build": "Build",
    ".image": "Image",
    ".kube": "Kube",
    ".network": "Network",
    ".pod": "Pod",
    ".volume": "Volume",
}
"""Suffix of a quadlet that makes no container → its section."""
QUADLETS = (".container", *OTHER_QUADLETS)
"""Suffixes of podman's units."""


def service_name(path: str) -> str:
    """The name of a unit's service: ``web`` of ``web.service``, of its drop-ins and of
    ``web.container``."""
    return unit_of(path).stem.removesuffix("@")


def template_of(path: str) -> str | None:
    """The file of an instance, ``a@.service`` of ``a@x.service``; None for any other unit."""
    place = PurePath(path)
    first, _, instance = place.stem.partition("@")
    return str(place.with_name(f"{first}@{place.suffix}")) if instance else None


def called_after(paths: Sequence[str]) -> str:
    """The path that names a unit and its drop-ins; for the drop-ins of an instance, the
    instance's."""
    for unit in map(unit_of, paths[1:]):
        template = template_of(unit.name)
        if template is not None and template == PurePath(paths[0]).name:
            return str(unit)
    return paths[0]


def unit_section(path: str) -> str:
    """The section of a unit in which systemd looks for its capabilities."""
    return UNIT_KINDS.get(unit_of(path).suffix, "Service")


def unit_suffix(path: str) -> str:
    """``.container`` of a quadlet and of its drop-ins."""
    return unit_of(path).suffix


@lru_cache(maxsize=4096)  # it is asked a dozen times of each file
def unit_of(path: str) -> PurePath:
    """The unit that a file is, or is a drop-in of; those of a whole type are of any (``*``)."""
    place = PurePath(path)
    if place.suffix != ".conf" or place.parent.suffix != ".d":
        return place
    unit = place.parent.with_suffix("")
    return unit.with_name(f"*.{unit.name}") if f".{unit.name}" in (*_KINDS, *IDLE_KINDS) else unit


_KINDS = (*QUADLETS, *UNIT_KINDS)


def drop_in_folders(path: str) -> tuple[str, ...]:
    """The folders of a unit's drop-ins, the most special first: for ``foo-bar.service``,
    ``foo-bar.service.d``, ``foo-.service.d`` and ``service.d``; an instance has its template's."""
    place = PurePath(path)
    if dropped_in(path) or place.suffix not in _KINDS:
        return ()
    stems = (_quadlet_stems if place.suffix in QUADLETS else _unit_stems)(place.stem)
    names = [f"{stem}{place.suffix}" for stem in dict.fromkeys(stems)] + [place.suffix[1:]]
    return tuple(str(place.with_name(f"{name}.d")) for name in names)


def _unit_stems(stem: str) -> Iterator[str]:
    """The stems that systemd looks for (unit_file_find_dirs): ``a-@x.service.d`` is for
    ``a-b@x.service``, too."""
    yield stem
    prefix, _, instance = stem.partition("@")
    if instance:
        yield from _unit_stems(f"{prefix}@")
    head, dash, _ = prefix.removesuffix("-").rpartition("-")
    if dash:
        yield from _unit_stems(f"{head}-@{instance}" if instance else f"{head}-")


def _quadlet_stems(stem: str) -> Iterator[str]:
    """The stems that podman looks for (GetUnitDropinPaths)."""
    yield stem
    prefix, at, _ = stem.partition("@")
    if at:
        yield f"{prefix}@"
    parts = prefix.split("-")
    for count in range(len(parts) - 1, 0, -1):
        shorter = "-".join(parts[:count]) + "-"
        yield from ([f"{shorter}@", shorter] if at else [shorter])


@lru_cache(maxsize=4096)
def dropped_in(path: str) -> bool:
    """True if a file adds to a unit or a quadlet."""
    return unit_of(path) != PurePath(path)


def meant(path: str, text: str) -> bool:
    """True if a unit runs something: other units, and files of D-Bus or avahi, do not."""
    return dropped_in(path) or f"[{unit_section(path)}]" in text


def unasked(path: str) -> Iterator[tuple[str, str]]:
    """The drop-ins of a unit, and folders of such that cannot be read."""
    from glob import escape, glob

    folders = drop_in_folders(path)
    files = [each for folder in folders for each in sorted(glob(f"{escape(folder)}/*.conf"))]
    for other in (*files, *filter(is_closed, folders)):
        yield other, f"reading {path} includes it"


def used_by(path: str, text: str) -> tuple[str, ...]:
    """The manifests that a ``.kube`` unit starts, and the ``.volume`` units whose volumes a quadlet
    mounts. Raises BadInput for what is no unit."""
    suffix = unit_suffix(path)
    if suffix not in (".kube", ".container", ".pod"):
        return ()
    from capadvise.config.units import file as unit_file

    folder = os.path.dirname(os.path.dirname(path) if dropped_in(path) else path)
    if suffix == ".kube":
        said = unit_file.parse(text, quadlet=True).all_of("Kube").values("Yaml")
        names = [item.value.strip("\"'") for item in said]
    else:
        section = unit_file.parse(text, quadlet=True).all_of("Container", "Pod")
        names = [item.value.strip('"').partition(":")[0] for item in section.values("Volume")]
        for item in section.values("Mount"):
            names += re.findall(r"(?:source|src)=([^,\"\s]+)", item.value)
        names = [name for name in names if name.endswith(".volume")]
    return tuple(os.path.join(folder, name) for name in names)


def is_closed(folder: str) -> bool:
    """True if its files cannot be listed or read."""
    return os.path.isdir(folder) and not os.access(folder, os.R_OK | os.X_OK)


def specified(section: Section, path: str, keys: str) -> Section:
    """A section with the specifiers that the name of its unit settles, in the keys that match. No
    reader replaces them in a switch or a capability."""
    each = (
        replace(item, value=expanded(item.value, path)) if re.fullmatch(keys, item.key) else item
        for item in section.assignments
    )
    return replace(section, assignments=tuple(each))


def expanded(text: str, path: str = "") -> str:
    """A text with these specifiers; without a path, with those that every service has."""
    from capadvise.catalog import default  # every command loads this module

    unit, values = unit_of(path), dict(default().host.lists["specifiers"])
    if re.fullmatch(r"[\w:.@-]+", unit.stem):  # else it has escapes, or is that of a whole type
        prefix, template, instance = unit.stem.partition("@")
        last, whole = prefix.rpartition("-")[2], unit.stem
        if unit.suffix in OTHER_QUADLETS and unit.suffix != ".kube":
            whole = f"{prefix}-{unit.suffix[1:]}{template}{instance}"
        parts = {"p": prefix, "j": last}
        if instance or not template:
            parts |= {"i": instance} if instance else {}
            values |= {"N": whole, "n": f"{whole}.service"}
            values |= {"f": "/" + (instance or prefix).replace("-", "/")}
        # In upper case they are unescaped: a dash stands for a slash.
        values |= parts | {key.upper(): part.replace("-", "/") for key, part in parts.items()}
    return re.sub("%(.)", lambda match: values.get(match[1], match[0]), text)
