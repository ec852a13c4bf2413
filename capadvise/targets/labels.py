"""Labels of images: asked of the engines, or read from a folder. Nothing is started or pulled."""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from capadvise.model.errors import BadInput
from capadvise.model.image import LAYOUT
from capadvise.targets.client.client import EngineError
from capadvise.targets.containers.registry import clients, holder
from capadvise.targets.image.archive import config_of

_MAX_JSON = 4 << 20
_DIGEST = re.compile(r"(sha256|sha512):([0-9a-f]{64,128})")


def labels_of(name: str) -> Mapping[str, str]:
    """Of an image that this machine has, from the first engine that has it; of ``oci:FOLDER``, from
    there. Raises BadInput."""
    if name.startswith(LAYOUT):
        return _of_layout(Path(name.removeprefix(LAYOUT)))
    client, described = holder(name)
    try:
        return _labels(described)
    except (ValueError, LookupError, AttributeError, TypeError) as error:
        raise BadInput(f"image {name}: {client.engine} describes it strangely") from error


def labels_of_all(names: Iterator[str]) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Of those that this machine has."""
    there = tuple(clients())
    for name in dict.fromkeys(names):
        for client in there:
            try:
                yield name, _labels(client.described_image(name))
            except (EngineError, ValueError, LookupError, AttributeError, TypeError):
                continue
            break


def _labels(described: str) -> Mapping[str, str]:
    return config_of(json.loads(described)[0]).labels


def _of_layout(folder: Path) -> Mapping[str, str]:
    """https://github.com/opencontainers/image-spec/blob/main/image-layout.md"""
    try:
        manifest = _json(folder / "index.json")
        for _ in range(4):  # an index can list an index
            if "manifests" not in manifest:
                break
            manifest = _json(_blob(folder, manifest["manifests"][0]))
        return config_of(_json(_blob(folder, manifest["config"]))).labels
    except OSError as error:
        raise BadInput(f"{error.filename}: {error.strerror}") from error
    except (ValueError, LookupError, AttributeError, TypeError, RecursionError) as error:
        raise BadInput(f"{folder}: not an image in OCI's layout: {error!r:.200}") from error


def _json(path: Path) -> Any:
    if not path.is_file():  # a pipe would keep us waiting
        raise FileNotFoundError(errno.ENOENT, "no such file", str(path))
    with path.open("rb") as file:
        text = file.read(_MAX_JSON + 1)
    if len(text) > _MAX_JSON:
        raise ValueError(f"{path.name}: too large")
    return json.loads(text)


def _blob(folder: Path, descriptor: Mapping[str, Any]) -> Path:
    """A digest is a path: one that is none leads nowhere."""
    match = _DIGEST.fullmatch(str(descriptor["digest"]))
    if match is None:
        raise ValueError("a digest that is none")
    return folder / "blobs" / match[1] / match[2]
