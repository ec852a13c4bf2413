"""Containers by name, whichever engine has them."""

from __future__ import annotations

from capadvise.errors import BadInput
from capadvise.linux.engines import docker, podman
from capadvise.linux.engines.client import EngineError
from capadvise.linux.engines.container import Container


def running(name: str) -> Container:
    """The running container of this name or id: docker's, else podman's. Raises BadInput."""
    reasons = []
    for client in (docker.client(), podman.client()):
        try:
            found = client.find(name)
        except EngineError as error:
            reasons.append(str(error))
            continue
        if found is None:
            reasons.append(f"{client.engine} has none")
        elif not found.pid:
            raise BadInput(f"container {name} is not running", hint=f"{client.engine} start {name}")
        else:
            return found
    raise BadInput(f"no container {name}: {'; '.join(reasons)}", hint="docker ps lists them")
