"""podman: the client itself starts conmon and the runtime, and is the ancestor of the container."""

from __future__ import annotations

import json
import os
from contextlib import suppress

from capadvise.errors import CannotObserve
from capadvise.linux.engines.client import Client, EngineError


def client(argv: tuple[str, ...] = ("podman",)) -> Client:
    """The command line of podman, with the options that the user gave before its command."""
    return Client("podman", argv)


def require(podman: Client) -> None:
    """Raises CannotObserve, in one line, where there is no podman or it speaks for another."""
    said = os.environ.get("CONTAINER_HOST") or os.environ.get("CONTAINER_CONNECTION")
    if said:
        raise _remote(said)
    info = json.loads(podman.call("info", "--format", "json"))
    if info["host"].get("serviceIsRemote"):
        raise _remote("--remote or --connection")


def _remote(where: str) -> CannotObserve:
    return CannotObserve(
        f"podman speaks for a service elsewhere ({where}): its containers are not our descendants",
        hint="run podman without --remote, CONTAINER_HOST and CONTAINER_CONNECTION",
    )


def pull(podman: Client, image: str) -> None:
    """See that an image is there. Raises EngineError where it is not and cannot be pulled."""
    with suppress(EngineError):
        podman.call("image", "inspect", "--format", "{{.Id}}", image)
        return
    try:
        podman.call("pull", "--quiet", image, seconds=3600)
    except EngineError as error:
        raise EngineError(f"the image {image} is not there and cannot be pulled: {error}") from None
