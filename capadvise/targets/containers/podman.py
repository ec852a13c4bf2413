"""podman: the client itself starts conmon and the runtime, and is the ancestor of the container."""

from __future__ import annotations

import json
import os

from capadvise.model.errors import CannotObserve
from capadvise.targets.client.client import Client


def require(podman: Client) -> Client:
    """As it is. Raises CannotObserve, in one line, where there is no podman or it speaks for
    another."""
    said = os.environ.get("CONTAINER_HOST") or os.environ.get("CONTAINER_CONNECTION")
    if said:
        raise _remote(said)
    info = json.loads(podman.call("info", "--format", "json"))
    if info["host"].get("serviceIsRemote"):
        raise _remote("--remote or --connection")
    return podman


def _remote(where: str) -> CannotObserve:
    return CannotObserve(
        f"podman uses a service on another machine ({where}): its containers cannot be "
        "observed from here",
        hint="run podman without --remote, CONTAINER_HOST and CONTAINER_CONNECTION",
    )
