"""What the programs that were proven before are called, and their sets.

``python -m tests.proven.run`` makes this one small file (``catalog/proven/index.json``) of the
others: each run looks into it at its end, and reads nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from capadvise.caps import CapSet, parse_set
from capadvise.dataclass import dataclass
from capadvise.errors import BadInput

FOLDER, INDEX = "proven", "index.json"
NAMES = ("programs", "commands", "images", "units")
_UNIT_ENDINGS = (".service", ".socket", ".timer", ".path")


@dataclass(frozen=True, slots=True)
class KnownSets:
    """Of one variant."""

    name: str
    user: str
    """Who starts it."""
    recommended: CapSet
    floor: CapSet


@dataclass(frozen=True, slots=True)
class KnownRow:
    """A program in short."""

    name: str
    version: str
    """Debian's."""
    variants: tuple[KnownSets, ...]

    @property
    def upstream(self) -> str:
        """The version as its authors call it."""
        return upstream(self.version)


class KnownIndex:
    """The file. It is not read before it is asked for."""

    def __init__(self, folder: Path) -> None:
        """``folder``: of the catalog."""
        self._path = folder / FOLDER / INDEX

    @cached_property
    def raw(self) -> Mapping[str, Mapping[str, Any]]:
        """As it is in the file."""
        try:
            raw: dict[str, dict[str, Any]] = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise BadInput(f"{self._path}: {error}") from error
        return raw

    def by_name(self, word: str) -> str | None:
        """A program or a package."""
        return self.raw["programs"].get(word)

    def by_command(self, word: str) -> str | None:
        """An executable, without its folder."""
        return self.raw["commands"].get(word)

    def by_unit(self, word: str) -> str | None:
        """A unit, with its ending or without; one made from a template by the template."""
        for ending in _UNIT_ENDINGS:
            word = word.removesuffix(ending)
        units = self.raw["units"]
        return units.get(word) or units.get(f"{word.partition('@')[0]}@")

    def by_image(self, word: str) -> str | None:
        """A reference of an image, however long."""
        return self.raw["images"].get(repository(word))

    def row(self, name: str) -> KnownRow:
        """By its own name, which there must be."""
        raw = self.raw["sets"][name]
        return KnownRow(
            name,
            raw["version"],
            tuple(
                KnownSets(
                    *(one["name"], one["user"]),
                    *(parse_set(one[key]) for key in ("recommended", "floor")),
                )
                for one in raw["variants"]
            ),
        )


def upstream(version: str) -> str:
    """``1.26.3`` of ``1:1.26.3+dfsg-3+deb13u1``."""
    version = version.partition(":")[2] or version
    return version.partition("-")[0].partition("+")[0].partition("~")[0]


def repository(reference: str) -> str:
    """``nginx`` of ``docker.io/library/nginx:1.27@sha256:…``; other registries stay."""
    name = reference.partition("@")[0]
    head, colon, tail = name.rpartition(":")
    if colon and "/" not in tail:
        name = head
    for prefix in ("index.docker.io/", "docker.io/", "library/"):
        name = name.removeprefix(prefix)
    return name


def tag(reference: str) -> str:
    """``1.27`` of ``nginx:1.27@sha256:…``; empty where there is none."""
    head, colon, tail = reference.partition("@")[0].rpartition(":")
    return tail if colon and head and "/" not in tail else ""


def other_version(name: str, proven: str, reference: str) -> str | None:
    """What must be said to somebody who asked for a version that was not proven; unescaped."""
    asked = tag(reference).partition("-")[0]
    if not asked[:1].isdecimal() or f"{proven}.".startswith(f"{asked}."):
        return None  # latest, alpine, ${TAG}: no version is asked for
    return f"The proof is for {name} {proven}, not for {asked}."
