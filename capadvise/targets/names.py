"""Containers by name or id, whichever engine has them."""

from __future__ import annotations

from capadvise.model.errors import BadInput
from capadvise.targets.client.client import Client, EngineError
from capadvise.targets.client.container import Container
from capadvise.targets.containers.registry import ENGINES, clients


def running(name: str) -> Container:
    """The running container of this name or id. Raises BadInput, and CannotObserve for one of
    another machine."""
    containers: dict[str, tuple[Client, Container]] = {}
    reasons = []
    for client in clients():
        try:
            container = client.find(name)
        except EngineError as error:
            reasons.append(str(error))
            continue
        if container is None:
            reasons.append(f"{client.engine} has none")
        else:
            containers[container.id] = client, container
    if not containers:
        why = "; ".join(dict.fromkeys(reasons)) or f"none of {', '.join(ENGINES)} is installed"
        raise BadInput(f"no container {name}: {why}", hint="docker ps lists them")
    if len(containers) > 1:
        raise BadInput(
            f"several containers are called {name}", hint=f"choose one: {', '.join(containers)}"
        )
    ((client, container),) = containers.values()
    ENGINES[client.engine].require(client)
    if not container.pid:
        raise BadInput(
            f"container {name} is not running", hint=f"{client.engine} start {container.name}"
        )
    return container
