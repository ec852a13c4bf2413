"""An image's configuration, and the contents of its layers, read without starting it.

Images are hostile input: the archive is read once, in bounded memory, and all names and texts are
kept as they stand there. Escape them before showing them.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import posixpath
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import IO, Any, cast

from capadvise.kernel.executables import FileCaps
from capadvise.targets.image.tarball import BadArchive, Body, Kind, Member, Stream, entries

_MAX_PATHS = 8 << 20
"""The most paths in all layers together; eight bytes of each are kept."""
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
        """True if it runs as its owner."""
        return bool(self.mode & 0o4000)

    @property
    def set_gid(self) -> bool:
        """True if it runs as its group; without the group's execute bit it does not."""
        return self.mode & 0o2010 == 0o2010


@dataclass(slots=True)
class Layer:
    """The relevant contents of one layer."""

    special: dict[str, Special] = field(default_factory=dict)
    replaced: array[int] = field(default_factory=lambda: array("Q"))
    """Sorted keys of the paths that it replaces or deletes."""
    opaque: set[int] = field(default_factory=set)
    """Keys of the folders through which nothing below shows."""
    problem: str | None = None
    """Why it could not be read to its end."""


class Reader:
    """Reads layers. It keeps a keyed hash of each path, so that no path can hide behind another."""

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
        """True if a file of a lower layer is still there below ``upper``."""
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


_MAX_JSON = 4 << 20
_MAX_DOCUMENTS = 64
_MAX_LAYERS = 1000
_SMALLEST_LAYER = 18
"""Bytes of an empty gzip file."""


@dataclass(frozen=True, slots=True)
class Config:
    """How an image wants to be started."""

    user: str = ""
    """The user of the Dockerfile: a name or a number, with or without a group; empty: root."""
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    """``80/tcp``."""
    healthcheck: tuple[str, ...] = ()
    """``CMD`` and a program with its arguments, or ``CMD-SHELL`` and a line; empty: none."""
    volumes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Image:
    """An image, read from its archive."""

    config: Config
    layers: tuple[str, ...]
    """The command that made each layer (``COPY . /app``), from the bottom; empty if unknown."""
    special: tuple[Special, ...]
    """Set-uid programs and file capabilities, by path, without those that an upper layer hides."""
    unread: tuple[str, ...] = ()
    """Layers that could not be read, one sentence each."""


def config_of(raw: Mapping[str, Any]) -> Config:
    """The configuration in the output of ``image inspect``, or in an image's own file. Raises
    ValueError."""
    inner = raw.get("Config") or raw.get("config") or {}
    if not isinstance(inner, Mapping):
        raise ValueError("the configuration is not a mapping")
    # podman keeps the healthcheck beside the configuration
    health = inner.get("Healthcheck") or raw.get("HealthCheck") or raw.get("Healthcheck")
    test = _texts(health.get("Test")) if isinstance(health, Mapping) else ()
    return Config(
        user=str(inner.get("User") or ""),
        entrypoint=_texts(inner.get("Entrypoint")),
        command=_texts(inner.get("Cmd")),
        ports=tuple(sorted(_texts(inner.get("ExposedPorts")))),
        healthcheck=() if test[:1] == ("NONE",) else test,
        volumes=tuple(sorted(_texts(inner.get("Volumes")))),
    )


def _texts(value: Any) -> tuple[str, ...]:
    """A list of texts, or the keys of a mapping; a single text is a list of one."""
    if isinstance(value, str):
        return (value,)
    return tuple(map(str, value)) if isinstance(value, Sequence | Mapping) else ()


def read_archive(stream: Stream) -> Image:
    """The first image of what ``docker save``, ``podman save`` or ``skopeo copy`` write.

    Raises BadArchive.
    """
    archive = _Archive()
    for entry, body in entries(stream):
        if entry.link and entry.kind is not Kind.FILE:
            folder = posixpath.dirname(entry.path) if entry.kind is Kind.OTHER else "/"
            archive.links[entry.path] = _absolute(entry.link, folder)
        elif entry.kind is Kind.FILE:
            archive.take(entry.path, body)
    return archive.image()


def _absolute(path: str, folder: str = "/") -> str:
    return posixpath.normpath(posixpath.join("/", folder, path))


class _Archive:
    """An archive while it is read: its files come in any order."""

    def __init__(self) -> None:
        self.links: dict[str, str] = {}
        self._documents: dict[str, Any] = {}
        self._layers: dict[str, Layer] = {}
        self._reader = Reader()

    def take(self, path: str, body: Body) -> None:
        if body.peek(1) in (b"{", b"["):
            if body.size <= _MAX_JSON and len(self._documents) < _MAX_DOCUMENTS:
                try:
                    self._documents[path] = json.loads(body.read())
                except (ValueError, RecursionError) as error:
                    raise BadArchive(f"{path}: not JSON: {error}") from error
        elif body.size >= _SMALLEST_LAYER and len(self._layers) < _MAX_LAYERS:
            self._layers[path] = self._reader.read(body)

    def image(self) -> Image:
        """Put the layers on top of each other, in the manifest's order."""
        try:
            config_path, names = self._manifest()
            raw = self._documents[config_path]
            config, history = config_of(raw), _history(raw)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise BadArchive(f"not the archive of an image: {error!r:.200}") from error
        special: dict[str, Special] = {}
        unread = []
        for number, name in enumerate(names, 1):
            layer = self._layers.get(name) or self._layers.get(self.links.get(name, ""))
            if layer is None or layer.problem:
                why = layer.problem if layer else "it is not in the archive"
                unread.append(f"layer {number} of {len(names)} was not read: {why}")
            if layer is not None:
                shows = self._reader.shows_through
                special = {path: kept for path, kept in special.items() if shows(path, layer)}
                special |= {
                    path: replace(kept_file, layer=number)
                    for path, kept_file in layer.special.items()
                }
        steps = history if len(history) == len(names) else ("",) * len(names)
        return Image(config, steps, tuple(special[path] for path in sorted(special)), tuple(unread))

    def _manifest(self) -> tuple[str, list[str]]:
        """The path of the configuration, and the layers from the bottom."""
        if "/manifest.json" in self._documents:  # docker's own form
            manifest = self._documents["/manifest.json"][0]
            return _absolute(manifest["Config"]), [_absolute(name) for name in manifest["Layers"]]
        manifest = self._documents["/index.json"]
        for _ in range(4):  # an index can list an index
            if "manifests" not in manifest:
                break
            manifest = self._documents[_blob(manifest["manifests"][0])]
        return _blob(manifest["config"]), [_blob(layer) for layer in manifest["layers"]]


def _blob(descriptor: Mapping[str, Any]) -> str:
    return _absolute("blobs/" + str(descriptor["digest"]).replace(":", "/"))


def _history(raw: Mapping[str, Any]) -> tuple[str, ...]:
    """The command that made each layer, without steps that made none."""
    return tuple(
        str(step.get("created_by") or step.get("comment") or "")
        for step in raw.get("history") or ()
        if not step.get("empty_layer")
    )
