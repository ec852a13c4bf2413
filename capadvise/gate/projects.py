"""Group files into projects: a compose file with its overrides, a unit with its drop-ins. Pure."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from os.path import normpath
from pathlib import PurePath

from capadvise.config.compose.files import NAMES
from capadvise.config.units.names import drop_in_folders, dropped_in, template_of

_OVERRIDES = tuple(f"{stem}.override" for stem in NAMES)


def projects(
    paths: Sequence[str],
    unnamed: Container[str] = (),
    together: Callable[[str], list[str]] = lambda path: [],
) -> list[list[str]]:
    """Group the files that belong together; each other file is a group by itself.

    A compose file is an override of an earlier one in the same folder when it has the same name
    with a further part: ``compose.override.yaml`` and ``compose.prod.yaml`` of ``compose.yaml``.
    They count in the order given. A file that is called override belongs to ``compose.yaml`` and to
    ``docker-compose.yml`` alike. Docker compose reads only the first such override that nobody
    named (``unnamed``: met in a folder); each other one makes a project of its own with the file
    that it overrides. ``together`` returns files that make one project whatever their names: no
    override is read with these. A drop-in belongs to each unit beside its folder; the drop-ins of
    an instance make it a unit beside its template.
    """
    grouping = _Grouping(unnamed)
    known = {normpath(path): path for path in paths}
    # A folder lists compose.override.yaml before compose.yaml.
    ordered = sorted(dict.fromkeys(paths), key=lambda p: p in unnamed and _main(p) is None)
    drop_ins: dict[str, dict[str, str]] = {}
    for path in filter(dropped_in, ordered):
        drop_ins.setdefault(str(PurePath(path).parent), {})[PurePath(path).name] = path
    for path in ordered:
        if not dropped_in(path):
            named = [known[place] for x in together(path) if (place := normpath(x)) in known]
            grouping.add(path, named)
    for group in grouping.groups.values():
        group += _dropped_into(group[0], drop_ins)
    read = {folder for path in grouping.groups for folder in drop_in_folders(path)}
    instances = list(_instances(grouping.groups, drop_ins, read))
    read |= {str(PurePath(path).parent) for group in instances for path in group[1:]}
    alone = [[p] for p in filter(dropped_in, ordered) if str(PurePath(p).parent) not in read]
    return [*grouping.groups.values(), *grouping.variants, *instances, *alone]


class _Grouping:
    """The projects so far; files are added one after the other."""

    def __init__(self, unnamed: Container[str]) -> None:
        self.unnamed = unnamed
        self.groups: dict[str, list[str]] = {}
        """First file → the files of its project."""
        self.variants: list[list[str]] = []
        self.mains: dict[tuple[str, str], str] = {}
        self.taken: set[str] = set()

    def add(self, path: str, named: list[str]) -> None:
        """Put a file where it belongs. ``named``: a project that the user made of it and others."""
        if path in self.taken:
            return
        if named:
            for other in named:
                self.groups.pop(other, None)  # it was met first
            self.groups[path] = named
            self.taken.update(named)
            self.mains |= {name: path for name in map(_main, named) if name is not None}
        elif (main := self._main_of(path)) is None:
            self.groups[path] = [path]
            if (name := _main(path)) is not None:
                self.mains[name] = path
        elif path not in self.unnamed:
            self.groups[main].append(path)
        elif _is_override(path) and main not in self.taken:
            self._add_override(self.groups[main], path)
        else:
            self.variants.append([*self.groups[main], path])

    def _main_of(self, path: str) -> str | None:
        """The compose file that an override is for."""
        folder, stem = _main(path, parts=2) or ("", "")
        names = [(folder, each) for each in (stem, *(NAMES if _is_override(path) else ()))]
        return next((self.mains[name] for name in names if name in self.mains), None)

    def _add_override(self, group: list[str], path: str) -> None:
        """Docker compose takes the first of several overrides."""
        for at, other in enumerate(group):
            if _is_override(other):
                group[at], path = sorted((other, path), key=_rank)
                self.variants.append([*group, path])
                return
        group.append(path)


def _dropped_into(path: str, drop_ins: Mapping[str, Mapping[str, str]]) -> list[str]:
    """The drop-ins of a unit in the order of their names. If two have the same name, the one in the
    more special folder counts (unit_file_find_dropin_paths)."""
    by_name: dict[str, str] = {}
    for folder in drop_in_folders(path):
        for name, drop_in in drop_ins.get(folder, {}).items():
            by_name.setdefault(name, drop_in)
    return [by_name[name] for name in sorted(by_name)]


def _is_override(path: str) -> bool:
    return PurePath(path).stem in _OVERRIDES


def _rank(override: str) -> tuple[int, bool]:
    """The place of an override in the order in which docker compose looks for one."""
    place = PurePath(override)
    return _OVERRIDES.index(place.stem), place.suffix != ".yml"


def _instances(
    paths: Iterable[str], drop_ins: Mapping[str, Mapping[str, str]], read: Container[str]
) -> Iterator[list[str]]:
    """Yield the instances that have drop-ins and no file of their own."""
    known = {normpath(path): path for path in paths}
    for folder in drop_ins:
        unit = folder.removesuffix(".d")
        template = None if folder in read else template_of(unit)
        if template in known:
            yield [known[template], *_dropped_into(unit, drop_ins)]


def _main(path: str, parts: int = 1) -> tuple[str, str] | None:
    """(folder, name) of a compose file; with two ``parts``, of the file that it overrides."""
    place = PurePath(path)
    stem, *endings = place.name.split(".")
    return (str(place.parent), stem) if stem in NAMES and len(endings) == parts else None
