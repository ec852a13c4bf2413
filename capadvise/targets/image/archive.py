"""What an image says of itself, and what lies in its layers, without starting it.

An image is hostile input: its archive is read once, in bounded memory, and all names and texts are
as they stand there. Escape them before showing them.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from capadvise.targets.image.layers import Layer, Reader, Special
from capadvise.targets.image.tarball import BadArchive, Body, Kind, Stream, entries

_MAX_JSON = 4 << 20
_MAX_DOCUMENTS = 64
_MAX_LAYERS = 1000
_SMALLEST_LAYER = 18
"""Bytes of an empty gzip file."""


@dataclass(frozen=True, slots=True)
class Config:
    """How an image wants to be started."""

    user: str = ""
    """As in the Dockerfile: a name or a number, with or without a group; empty: root."""
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    """``80/tcp``."""
    healthcheck: tuple[str, ...] = ()
    """``CMD`` and a program with its arguments, or ``CMD-SHELL`` and a line; empty: none."""
    volumes: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Image:
    """An image, read from its archive."""

    config: Config
    layers: tuple[str, ...]
    """What made each layer (``COPY . /app``), from the bottom; empty where it is not said."""
    special: tuple[Special, ...]
    """Set-uid programs and file capabilities, by path. What an upper layer hides is not there."""
    unread: tuple[str, ...] = ()
    """Layers that could not be read, one sentence each."""


def config_of(raw: Mapping[str, Any]) -> Config:
    """The configuration in what ``docker image inspect`` and ``podman image inspect`` print of an
    image, or in an image's own file. Raises ValueError for what is none."""
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
        labels=_labels(inner.get("Labels")),
    )


def _labels(value: Any) -> Mapping[str, str]:
    named = value.items() if isinstance(value, Mapping) else ()
    return {name: text for name, text in named if isinstance(text, str)}


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
        said = history if len(history) == len(names) else ("",) * len(names)
        return Image(config, said, tuple(special[path] for path in sorted(special)), tuple(unread))

    def _manifest(self) -> tuple[str, list[str]]:
        """Where the configuration is, and the layers from the bottom."""
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
    """What made each layer; steps that made none are left out."""
    return tuple(
        str(step.get("created_by") or step.get("comment") or "")
        for step in raw.get("history") or ()
        if not step.get("empty_layer")
    )
