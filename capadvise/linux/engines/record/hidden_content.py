"""What an image has where a folder of the host is mounted: a new volume would begin with it."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from capadvise.linux.engines.cli.client import Client, EngineError
from capadvise.linux.engines.image.ownership import status_below
from capadvise.linux.engines.record.data import DataSource


def cautions(client: Client, sources: Iterable[DataSource]) -> Iterator[str]:
    """A sentence for each of them."""
    for source in sources:
        if source.target and _has_content(_layers(client, source.image), source.target):
            yield (
                f"the image has files in {source.target}, and a new volume would begin with them; "
                "the folder that is mounted there does not: with a volume, more can be needed"
            )


def _layers(client: Client, image: str) -> list[Path]:
    """Where they are on this machine; none of a storage that is no overlay."""
    with suppress(EngineError, ValueError, AttributeError):
        words = ("image", "inspect", "--format", "{{json .GraphDriver.Data}}", image)
        storage = json.loads(client.call(*words))
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
