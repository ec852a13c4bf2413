"""Images of the engines: users, set-id programs. Nothing is started or pulled.

An image is read from its archive while the engine saves it.
"""

import subprocess

from capadvise.model.errors import BadInput
from capadvise.model.image import ImageInspection, Riser
from capadvise.targets.client.client import Client
from capadvise.targets.containers.registry import holder
from capadvise.targets.image.archive import Image, Special, read_archive
from capadvise.targets.image.tarball import BadArchive


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
