"""Content of an image below a mounted folder of the host: a new volume would begin with it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

from capadvise.targets.client.client import Client, EngineError
from capadvise.targets.containers.data import DataSource
from capadvise.targets.image.ownership import status_below

_MOST_LOOKED_AT = 5_000
"""Entries of one folder of an image."""


def of_others(client: Client, source: DataSource) -> bool:
    """True if some of it belongs to a user other than root: then a start on a new volume can need
    more than a start on a folder of the host."""
    layers = _layers(client, source.image) if source.target else []
    return any(_is_of_others(layer, source.target.strip("/")) for layer in layers)


def _is_of_others(layer: Path, path: str) -> bool:
    if not _entries(layer, path):
        return False
    root = os.lstat(layer).st_uid  # below userns-remap, its root's
    below = (
        os.path.join(place, name)
        for place, folders, files in os.walk(layer / path)
        for name in (*folders, *files)
    )
    for entry in islice(below, _MOST_LOOKED_AT):
        with suppress(OSError):
            if os.lstat(entry).st_uid != root:
                return True
    return False


def cautions(client: Client, sources: Iterable[DataSource]) -> Iterator[str]:
    """A sentence for each of them."""
    for source in sources:
        if source.target and _has_content(_layers(client, source.image), source.target):
            yield (
                f"the image has files in {source.target}, and a new volume would begin with them; "
                "the folder that is mounted there does not: with a volume, more can be needed"
            )


def _layers(client: Client, image: str) -> list[Path]:
    """Their folders on this machine; none if the storage is no overlay."""
    with suppress(EngineError, AttributeError):
        storage = client.storage_of(image)
        upper, lower = storage.get("UpperDir"), storage.get("LowerDir")
        return [Path(path) for path in ":".join(filter(None, (upper, lower))).split(":") if path]
    return []


def _has_content(layers: Iterable[Path], target: str) -> bool:
    """In any of them: what a higher layer removes is rare."""
    return any(_entries(layer, target.strip("/")) for layer in layers)


def _entries(layer: Path, path: str) -> list[str]:
    with suppress(OSError):
        status = status_below(layer, path)
        if status is not None and stat.S_ISDIR(status.st_mode):
            return os.listdir(layer / path)
    return []
