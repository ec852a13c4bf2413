"""The services of this machine: their unit files, in the order in which systemd looks for them."""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath

from capadvise.config.units.names import drop_in_folders, is_closed, template_of

UNIT_PATH = tuple(json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8")))
"""The folders of the system manager, see systemd.unit(5): the first file of a name counts."""


def installed(folders: Sequence[str]) -> Iterator[list[str]]:
    """Yield the file of each service and its drop-ins, by name. A masked unit is left out, since it
    cannot be started, and so is an alias. An instance that only has drop-ins has its template's
    file."""
    files: dict[str, str] = {}
    for folder in folders:
        for name in _names(folder, ".service"):
            files.setdefault(name, os.path.join(folder, name))
    units = {name: path for name, path in files.items() if not _is_alias(path)}
    for folder in folders:
        for instance in (name.removesuffix(".d") for name in _names(folder, ".service.d")):
            if instance not in files and (template := template_of(instance)) in units:
                units[instance] = units[template]
    others: dict[str, list[str]] = {}
    for alias in sorted(files.keys() - units.keys()):
        others.setdefault(os.path.basename(os.path.realpath(files[alias])), []).append(alias)
    for name in sorted(units):
        if not _is_masked(units[name]):
            yield [units[name], *_drop_ins([name, *others.get(name, ())], folders)]


def unit_file(name: str, folders: Sequence[str]) -> str | None:
    """The file of a unit, or None if it is masked. An instance may have its template's file."""
    first, at, rest = name.partition("@")
    template = f"{first}@{PurePath(rest).suffix}" if at else name
    for wanted in dict.fromkeys((name, template)):
        places = [os.path.join(folder, wanted) for folder in folders]
        if place := next(filter(os.path.lexists, places), None):
            return None if _is_masked(place) else place
    return None


def _names(folder: str, ending: str) -> list[str]:
    try:
        return sorted(name for name in os.listdir(folder) if name.endswith(ending))
    except OSError:
        return []


def _is_masked(path: str) -> bool:
    try:
        return os.path.realpath(path) == os.devnull or os.stat(path).st_size == 0
    except OSError:  # a link to nothing
        return True


def _is_alias(path: str) -> bool:
    return os.path.islink(path) and os.path.basename(os.path.realpath(path)) != os.path.basename(
        path
    )


def _drop_ins(names: Sequence[str], folders: Sequence[str]) -> list[str]:
    """The drop-ins of a unit under all its names, sorted by their own names. If two have the same
    name, systemd takes the one that it meets first; it looks into ``service.d`` last."""
    lists = [drop_in_folders(os.path.join(folder, name)) for name in names for folder in folders]
    by_name: dict[str, str] = {}
    for place in (*(p for places in lists for p in places[:-1]), *(each[-1] for each in lists)):
        if is_closed(place):
            by_name[place] = place  # reading it is an error
        for drop_in in _names(place, ".conf"):
            by_name.setdefault(drop_in, os.path.join(place, drop_in))
    return [by_name[drop_in] for drop_in in sorted(by_name) if not _is_masked(by_name[drop_in])]
