"""The engines that are known: ``ENGINES`` is all of them, in the order in which they are asked."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from capadvise.model.errors import BadInput
from capadvise.targets.client.client import Client, EngineError
from capadvise.targets.containers import docker, podman
from capadvise.targets.containers.containers import DockerRoster, Roster
from capadvise.targets.containers.untraced import UntracedRoster


@dataclass(frozen=True, slots=True)
class Engine:
    """What differs from engine to engine."""

    require: Callable[[Client], Client]
    """Returns what it is asked by from now on. Raises CannotObserve where it does not answer, or is
    another machine's."""
    ancestors: Callable[[Client], Callable[[], list[int]]]
    """What its containers descend from besides the client: called before capabilities are given
    up, it returns what lists the threads."""
    roster: type[Roster]
    """How the containers of a recording are found."""
    untraced: type[Roster] | None = None
    """The same without traces; None: they are needed for that."""


ENGINES = {
    "docker": Engine(docker.require, docker.ancestors, DockerRoster, UntracedRoster),
    "podman": Engine(podman.require, lambda _: list, Roster),
}


def holder(image: str) -> tuple[Client, str]:
    """The first engine that has an image, and how it describes it. Raises BadInput."""
    reasons = []
    for client in (Client(engine, (engine,)) for engine in ENGINES):
        try:
            return client, client.described_image(image)
        except EngineError as error:
            reasons.append(str(error))
    raise BadInput(f"no image {image}: {'; '.join(reasons)}", hint="docker image ls lists them")


def clients(engine: str | None = None) -> Iterator[Client]:
    """Those that are installed: of one engine, or all."""
    for name in ENGINES:
        if engine in (None, name) and shutil.which(name):
            yield Client(name, (name,))


def quick(client: Client) -> Client:
    """What answers it soonest: a watch that waits for the names of a thousand containers loses what
    is refused meanwhile. Raises EngineError."""
    return docker.quick(client) if client.engine == "docker" else client
