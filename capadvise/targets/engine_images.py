"""Images of the engines: labels, users, set-id programs. Nothing is started or pulled.

An image is read from its archive while the engine saves it, or from a folder in OCI's layout.
"""

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from capadvise.model.errors import BadInput
from capadvise.model.image import LAYOUT, ImageInspection, Riser
from capadvise.model.input_file import content
from capadvise.targets.client.client import Client, EngineError
from capadvise.targets.containers.registry import clients, holder
from capadvise.targets.image.archive import Image, Special, config_of, read_archive
from capadvise.targets.image.tarball import BadArchive

_MAX_JSON = 4 << 20
_DIGEST = re.compile(r"(sha256|sha512):([0-9a-f]{64,128})")


def labels_of(name: str) -> Mapping[str, str]:
    """The labels of an image of an engine, or of ``oci:FOLDER``. Raises BadInput."""
    if name.startswith(LAYOUT):
        return _of_layout(Path(name.removeprefix(LAYOUT)))
    client, described = holder(name)
    try:
        return _labels(described)
    except (ValueError, LookupError, AttributeError, TypeError) as error:
        raise BadInput(f"image {name}: {client.engine} describes it in an unknown form") from error


def labels_of_all(names: Iterator[str]) -> Iterator[tuple[str, Mapping[str, str]]]:
    """The labels of those images that this machine has."""
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
    return json.loads(content(path, _MAX_JSON, pipes=False))


def _blob(folder: Path, descriptor: Mapping[str, Any]) -> Path:
    """The digest is checked, as it becomes a path."""
    match = _DIGEST.fullmatch(str(descriptor["digest"]))
    if match is None:
        raise ValueError("a digest that is none")
    return folder / "blobs" / match[1] / match[2]


def inspect_image(name: str) -> ImageInspection:
    """The image of this name: of the first engine that has it. Raises BadInput."""
    client, _ = holder(name)
    image = _read(client, name)
    config = image.config
    return ImageInspection(
        name,
        client.engine,
        config.user,
        (*config.entrypoint, *config.command),
        config.ports,
        config.volumes,
        config.healthcheck,
        len(image.layers),
        tuple(map(_riser, image.special)),
        image.unread,
    )


def _read(client: Client, name: str) -> Image:
    argv = [*client.argv, "save", "--", name]
    with subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as saving:
        assert saving.stdout is not None
        try:
            return read_archive(saving.stdout)
        except BadArchive as error:
            raise BadInput(f"image {name}: {error}") from error
        finally:
            saving.kill()  # nothing after the last member matters


def _riser(special: Special) -> Riser:
    return Riser(
        special.path,
        special.layer,
        special.uid if special.set_uid else None,
        special.gid if special.set_gid else None,
        special.caps.permitted | special.caps.inheritable if special.caps else frozenset(),
    )
