"""One layer of an image: the programs in it that give rights, and what it hides of those below."""

from __future__ import annotations

import gzip
import hashlib
import os
import posixpath
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import IO, cast

from capadvise.kernel.executables import FileCaps
from capadvise.targets.image.tarball import BadArchive, Body, Kind, Member, Stream, entries

_MAX_PATHS = 8 << 20
"""In all layers together; eight bytes each are kept."""
_MAX_SPECIAL = 10_000
_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"
"""https://github.com/opencontainers/image-spec/blob/main/layer.md#whiteouts"""
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


class TooMuch(BadArchive):
    """More than any image has: the archive was made to fill memory."""


@dataclass(frozen=True, slots=True)
class Special:
    """A program that gives its starter another identity or capabilities."""

    path: str
    mode: int
    uid: int
    gid: int
    caps: FileCaps | None = None
    layer: int = 0
    """Its number, from 1 at the bottom."""

    @property
    def set_uid(self) -> bool:
        """Whether it runs as its owner."""
        return bool(self.mode & 0o4000)

    @property
    def set_gid(self) -> bool:
        """Whether it runs as its group; without the group's execute bit it does not."""
        return self.mode & 0o2010 == 0o2010


@dataclass(slots=True)
class Layer:
    """What one layer holds, as far as it matters."""

    special: dict[str, Special] = field(default_factory=dict)
    replaced: array[int] = field(default_factory=lambda: array("Q"))
    """Sorted keys of the paths that it replaces or deletes."""
    opaque: set[int] = field(default_factory=set)
    """Keys of the folders through which nothing below shows."""
    problem: str | None = None
    """Why it could not be read to its end."""


class Reader:
    """Reads layers. Of their paths it keeps eight bytes each; the secret keeps an image from
    hiding one path behind another."""

    def __init__(self) -> None:
        self._secret = os.urandom(16)
        self._paths = 0

    def read(self, body: Body) -> Layer:
        """One layer, compressed or not. Raises TooMuch; other troubles are in ``problem``."""
        layer = Layer()
        head = body.peek(4)
        if head == _ZSTD:
            layer.problem = "it is compressed with zstd"
            return layer
        stream: Stream = body
        if head[:2] == _GZIP:
            stream = gzip.GzipFile(fileobj=cast(IO[bytes], body), mode="rb")
        try:
            for entry, _ in entries(stream):
                self._take(layer, entry)
        except TooMuch:
            raise
        except (BadArchive, OSError, EOFError, zlib.error) as error:
            layer.problem = str(error)
        layer.replaced = array("Q", sorted(layer.replaced))
        return layer

    def _take(self, layer: Layer, entry: Member) -> None:
        folder, name = posixpath.split(entry.path)
        if name == _OPAQUE:
            layer.opaque.add(self._key(folder))
            return
        if name.startswith(_WHITEOUT):
            layer.replaced.append(self._key(posixpath.join(folder, name.removeprefix(_WHITEOUT))))
            return
        if entry.kind is Kind.DIRECTORY:
            return
        layer.replaced.append(self._key(entry.path))
        layer.special.pop(entry.path, None)
        if special := _special(layer, entry):
            layer.special[entry.path] = special
            if len(layer.special) > _MAX_SPECIAL:
                raise TooMuch(f"more than {_MAX_SPECIAL} set-uid programs in a layer")

    def _key(self, path: str) -> int:
        self._paths += 1
        if self._paths > _MAX_PATHS:
            raise TooMuch(f"more than {_MAX_PATHS} files")
        return self._hash(path)

    def _hash(self, path: str) -> int:
        digest = hashlib.blake2b(path.encode(), digest_size=8, key=self._secret)
        return int.from_bytes(digest.digest(), "little")

    def shows_through(self, path: str, upper: Layer) -> bool:
        """Whether a file of a lower layer is still there below ``upper``."""
        for place in _self_and_parents(path):
            key = self._hash(place)
            at = bisect_left(upper.replaced, key)
            if at < len(upper.replaced) and upper.replaced[at] == key:
                return False
            if place != path and key in upper.opaque:
                return False
        return True


def _special(layer: Layer, entry: Member) -> Special | None:
    if entry.kind is Kind.HARD_LINK:
        linked = layer.special.get(entry.link)
        return replace(linked, path=entry.path) if linked else None
    caps = FileCaps.decode(entry.capability) if entry.capability else None
    special = Special(entry.path, entry.mode, entry.uid, entry.gid, caps)
    wanted = entry.kind is Kind.FILE and (special.set_uid or special.set_gid or caps)
    return special if wanted else None


def _self_and_parents(path: str) -> Iterator[str]:
    while True:
        yield path
        if path == "/":
            return
        path = posixpath.dirname(path)
