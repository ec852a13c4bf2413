"""Names of the programs with proven sets, and these sets.

``python -m tests.proven.run`` makes this one small file (``catalog/proven/index.json``) from the
others: each run reads only this one, at its end.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from capadvise.model.caps import CapSet
from capadvise.model.errors import BadInput
from capadvise.model.from_json import value_of

FOLDER, INDEX = "proven", "index.json"
INITS = ("catatonit", "docker-init", "dumb-init", "podman-init", "tini", "tini-static")
"""First processes of containers that start the program and stay."""
STARTERS = frozenset(
    (
        *INITS,
        *("bwrap", "crun", "gdb", "gosu", "podman", "runc", "s6-setuidgid", "s6-svscan"),
        *("schroot", "setpriv", "spawn-fcgi", "strace", "sudo", "supervisord"),
    )
)
"""Commands whose job is to start others: their own needs tell nothing about these, so nothing is
compared with them."""
_UNIT_ENDINGS = (".service", ".socket", ".timer", ".path")


@dataclass(frozen=True, slots=True)
class KnownSets:
    """The sets of one variant."""

    name: str
    user: str
    """The user that starts it."""
    recommended: CapSet
    minimal: CapSet


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
        """``folder``: the catalog's."""
        self.folder = folder / FOLDER

    @cached_property
    def raw(self) -> Mapping[str, Mapping[str, Any]]:
        """The content of the file."""
        path = self.folder / INDEX
        try:
            raw: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise BadInput(f"{path}: {error}") from error
        return raw

    def by_name(self, word: str) -> str | None:
        """A program or a package, also with a version: ``nginx-light=1.26.3-3``, ``php8.2-fpm``."""
        name = word if "/" in word else word.partition("=")[0].partition(":")[0]
        return self._listed("programs", name)

    def by_command(self, word: str) -> str | None:
        """An executable, without its folder."""
        return self._listed("commands", word)

    def by_unit(self, word: str) -> str | None:
        """A unit, with its ending or without, or its file; an instance by its template."""
        for ending in _UNIT_ENDINGS:
            if word.endswith(ending):
                word = word.rpartition("/")[2].removesuffix(ending)
        template, at, _ = word.partition("@")
        if not at:
            return self._listed("units", word)
        return self._listed("units", f"{template}@") or self._listed("units", template)

    def by_image(self, word: str) -> str | None:
        """A reference of an image, however it is written."""
        return self.raw["images"].get(repository(word))

    def namesake(self, word: str) -> str | None:
        """The known program whose image has the same name, but another repository:
        ``team/nginx``."""
        path, _, last = repository(word).rpartition("/")
        if not path:
            return None
        return self.raw["images"].get(last) or self.by_name(last) or self.by_command(last)

    def _listed(self, kind: str, word: str) -> str | None:
        words = self.raw[kind]
        return words.get(word) or words.get(re.sub(_VERSION, "", word))

    def row(self, name: str) -> KnownRow:
        """The program of this name, which must exist."""
        row: KnownRow = value_of(KnownRow, {"name": name, **self.raw["sets"][name]})
        return row


def upstream(version: str) -> str:
    """``1.26.3`` of ``1:1.26.3+dfsg-3+deb13u1``."""
    version = version.partition(":")[2] or version
    return version.partition("-")[0].partition("+")[0].partition("~")[0]


def repository(reference: str) -> str:
    """``nginx`` of ``docker.io/library/nginx:1.27@sha256:…``; other registries stay, except copies
    of Docker's."""
    name = reference.partition("@")[0]
    for transport in _TRANSPORTS:
        name = name.removeprefix(transport)
    head, colon, tail = name.rpartition(":")
    if colon and "/" not in tail:
        name = head
    for registry in _HUB:
        if name.startswith(registry):
            return name.removeprefix(registry).removeprefix("library/")
    return name.removeprefix("library/")


_TRANSPORTS = ("docker://", "docker-daemon:", "containers-storage:")
"""Prefixes that skopeo, podman and Kubernetes' events write: containers-transports(5)."""
_HUB = (
    *("docker.io/", "index.docker.io/", "registry-1.docker.io/", "registry.hub.docker.com/"),
    *("mirror.gcr.io/", "public.ecr.aws/docker/"),
)
"""Docker Hub, and its copies: cloud.google.com/artifact-registry/docs/pull-cached-dockerhub-images,
gallery.ecr.aws/docker."""
_VERSION = r"(?<=[a-z])-?\d+(\.\d+)*(?![a-z])"
"""Matches the version in a name: ``php8.2-fpm``, ``postgresql-17``, ``squid3``."""
_SURE_VERSION = r"(?<=[a-z])(-\d+(\.\d+)*|\d+\.\d+)(?![a-z])"
"""The same, if it is certainly a version and not a part of the name, as in ``stunnel4``."""


def tag(reference: str) -> str:
    """``1.27`` of ``nginx:1.27@sha256:…``; empty without a tag."""
    head, colon, tail = reference.partition("@")[0].rpartition(":")
    return tail if colon and head and "/" not in tail else ""


def _asked(word: str) -> str:
    """The version that a name asks for; empty for none."""
    if version := word.partition("=")[2]:
        return version
    if version_and_more := tag(word):
        return version_and_more.partition("-")[0]
    named = re.search(_SURE_VERSION, word) if "/" not in word and ":" not in word else None
    return named[0].removeprefix("-") if named else ""


def other_version(name: str, version: str, word: str) -> str | None:
    """The note for a user who asked for a version that was not proven; unescaped. ``version``:
    Debian's in the proof; ``word``: the user's word."""
    asked, proven = _asked(word), upstream(version)
    if "=" in word and "-" in asked:  # a revision of Debian's
        if asked in (version, version.partition(":")[2]):
            return None
        proven = version
    elif not asked[:1].isdecimal() or f"{proven}.".startswith(f"{upstream(asked)}."):
        return None  # latest, alpine, ${TAG}: no version is asked for
    return f"The proof is for {name} {proven}, not for {asked}."
