"""The host's files, devices and file systems, and what they give: ``catalog/host.yaml``."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase, translate
from functools import cached_property
from typing import Any

HARMLESS, UNKNOWN = "harmless", "unknown"
_DEEPEST = 8
"""No place in the file has more parts."""


@dataclass(frozen=True, slots=True)
class HostPlace:
    """The result of reading and of writing: a kind of exposure, ``harmless`` or ``unknown``."""

    reading: str = UNKNOWN
    writing: str = UNKNOWN
    holds: str = ""
    """The reason, for a sentence about the folder."""
    sockets: bool = False
    """The sockets in it are as harmless as its files."""


class HostFacts:
    """The file, with its places by their parts."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self.lists = raw
        self._links = {_parts(path): _parts(target) for path, target in raw["links"].items()}
        self._linked = {link[-1] for link in self._links}
        self._names = {key: [*map(_parts, raw[key])] for key in ("control-sockets", "sockets")}
        self._exact: dict[tuple[str, tuple[str, ...]], HostPlace] = {}
        self._patterns: dict[tuple[str, int], list[tuple[tuple[str, ...], HostPlace]]] = {}
        for group in raw["groups"]:
            keys = ("reading", "writing", "holds", "sockets")
            place = HostPlace(**{key: group[key] for key in keys if key in group})
            for which in ("places", "trees"):
                for parts in map(_parts, group.get(which, ())):
                    if "*" in "".join(parts) or "[" in "".join(parts):
                        self._patterns.setdefault((which, len(parts)), []).append((parts, place))
                    else:
                        self._exact.setdefault((which, parts), place)

    def place(self, path: str) -> tuple[HostPlace, int]:
        """The place that a path is or lies in, and how many parts of the path decided that."""
        parts = _parts(path)
        above = (parts[:depth] for depth in range(min(len(parts), _DEEPEST), 0, -1))
        for which, each in (("places", parts), *(("trees", each) for each in above)):
            if (place := self._at(which, each)) is not None:
                return place, len(each)
        return HostPlace(), 0

    def _at(self, which: str, parts: tuple[str, ...]) -> HostPlace | None:
        patterns = self._patterns.get((which, len(parts)), ())
        matching = (place for pattern, place in patterns if _match(pattern, parts))
        return self._exact.get((which, parts)) or next(matching, None)

    def followed(self, path: str) -> str:
        """A path without links and ``..``, in the order in which the kernel follows them."""
        done: list[str] = []
        ahead = [*reversed(_parts(path))]
        while ahead:
            if (part := ahead.pop()) == "..":
                del done[-1:]
                continue
            done.append(part)
            for link, target in self._links.items() if part in self._linked else ():
                if _match(link, done):
                    ahead += reversed(target)
                    done = []
        return "/" + "/".join(done)

    def is_former(self, path: str) -> bool:
        """True if version 0.2 had findings of a path."""
        return self._former.match(path) is not None

    @cached_property
    def _former(self) -> re.Pattern[str]:
        former = self.lists["former"]
        patterns = [*former["places"], *former["trees"], *(f"{x}/*" for x in former["trees"])]
        return re.compile("|".join(map(translate, patterns)))

    def is_named(self, path: str, names: str) -> bool:
        """True if the last parts of a path match one of these names."""
        parts = _parts(path.replace("\\", "/"))
        return any(_match(pattern, parts[-len(pattern) :]) for pattern in self._names[names])


def _parts(path: str) -> tuple[str, ...]:
    return tuple(part for part in path.split("/") if part not in ("", "."))


def _match(pattern: Sequence[str], parts: Sequence[str]) -> bool:
    return len(pattern) == len(parts) and all(map(fnmatchcase, parts, pattern))
