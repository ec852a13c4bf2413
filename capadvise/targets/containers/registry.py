"""The known engines, and how each is reached. ``ENGINES`` lists them in the order of questions.

docker's daemon must run on this machine, because capadvise observes this machine's kernel. podman's
client starts conmon and the runtime itself, and is the ancestor of the container.
"""

import json
import os
import shutil
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial

from capadvise.kernel import procfs
from capadvise.model.errors import BadInput, CannotObserve
from capadvise.targets.client.client import Client, EngineError
from capadvise.targets.client.container import Container
from capadvise.targets.client.docker_client import Api, DockerClient
from capadvise.targets.containers.containers import DockerRoster, Roster, UntracedRoster

_DAEMONS = ("dockerd", "containerd")
_DEFAULT = "unix:///var/run/docker.sock"
"""The address at which the client looks for the daemon by default."""
_PEER = struct.Struct("3i")


def require_docker(docker: Client) -> Client:
    """The same docker by its API. Raises CannotObserve if it is silent or on another machine."""
    where = docker_endpoint(docker)
    if not where.startswith("unix://"):
        raise CannotObserve(
            f"docker runs on another machine ({where}): its kernel cannot be observed from here",
            hint="run capadvise on that machine, or unset DOCKER_HOST and DOCKER_CONTEXT",
        )
    known = _docker_at(where, docker)
    if not known.answers:
        docker.call("version", "--format", "{{.Server.Version}}")  # the client says best why
        raise CannotObserve(
            f"the socket {known.api.path!r} of docker does not answer, though its client does",
            hint="give DOCKER_HOST the path of the socket: unix:///run/docker.sock",
        )
    return known


def _docker_at(where: str, docker: Client) -> DockerClient:
    return DockerClient(docker.engine, docker.argv, Api(where.removeprefix("unix://")))


def docker_endpoint(docker: Client) -> str:
    """The address of the daemon: of ``-H``, DOCKER_HOST or the context. Raises EngineError."""
    words = [word.removeprefix("--host=") for word in docker.argv if word.startswith("--host=")]
    given = words[-1] if words else os.environ.get("DOCKER_HOST")
    contexts = any(word.startswith("--context=") for word in docker.argv)
    if given and not contexts:
        return given
    context, config = os.environ.get("DOCKER_CONTEXT"), os.environ.get("DOCKER_CONFIG")
    if len(docker.argv) == 1 and not context and not _chooses_context(config or "~/.docker"):
        return _DEFAULT
    return _of_context(docker, context, config)


def _chooses_context(config: str) -> bool:
    """True if the user's configuration chooses a context, or may do so."""
    try:
        with open(os.path.expanduser(f"{config}/config.json"), "rb") as file:
            return bool(json.load(file).get("currentContext"))
    except FileNotFoundError:
        return False
    except (OSError, ValueError, AttributeError):
        return True


@cache
def _of_context(docker: Client, *_: str | None) -> str:
    """Cached: each trial needs it several times, and each answer takes a process."""
    return docker.call("context", "inspect", "--format", "{{.Endpoints.docker.Host}}").strip()


def docker_ancestors(docker: Client) -> Callable[[], list[int]]:
    """A function that lists the threads that containers descend from. Raises EngineError."""
    return partial(docker_threads, docker_endpoint(docker).removeprefix("unix://"))


def docker_threads(path: str) -> list[int]:
    """The threads of the dockerd that listens at ``path``, of other dockerds and of containerd.

    Raises CannotObserve if there are none among this machine's processes.
    """
    pids = {pid for pid in procfs.processes() if procfs.comm(pid) in _DAEMONS}
    with suppress(OSError):
        pids.add(_listener(path))
    listed = [thread for pid in sorted(pids - {0, 1}) for thread in procfs.threads(pid)]
    if not listed:
        raise CannotObserve(
            f"the docker daemon behind {path} is not a process of this machine",
            hint="run capadvise where dockerd runs",
        )
    return listed


def docker_daemons(docker: Client) -> set[int]:
    """The dockerd behind a client, and the containerd that it asks: its child, or the machine's.
    Other dockerds can have other mounts."""
    with suppress(OSError):
        listener = _listener(docker_endpoint(docker).removeprefix("unix://"))
        asked = {pid for pid in procfs.processes() if procfs.comm(pid) == "containerd"}
        own = {pid for pid in asked if procfs.parent(pid) == listener}
        shared = {pid for pid in asked if procfs.comm(procfs.parent(pid)) != "dockerd"}
        if listener > 1:
            return {listener, *(own or shared)}
    return {pid for pid in procfs.processes() if procfs.comm(pid) in _DAEMONS}


def _listener(path: str) -> int:
    """The process that listens on a socket: pid 1 if systemd passed it on."""
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(path)
        size = _PEER.size
        pid: int = _PEER.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))[0]
        return pid


def require_podman(podman: Client) -> Client:
    """The same client. Raises CannotObserve if it is missing or of another machine."""
    remote = os.environ.get("CONTAINER_HOST") or os.environ.get("CONTAINER_CONNECTION")
    if remote:
        raise _remote(remote)
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


@dataclass(frozen=True, slots=True)
class Engine:
    """The differences between engines."""

    require: Callable[[Client], Client]
    """Returns the client to ask from now on. Raises CannotObserve if it is silent or elsewhere."""
    ancestors: Callable[[Client], Callable[[], list[int]]]
    """A function that lists the threads, other than the client's, that containers descend from. It
    is made before capabilities are given up."""
    daemons: Callable[[Client], set[int]]
    """The processes whose mounts the containers get."""
    roster: type[Roster]
    """The class that follows the containers of a recording."""
    untraced: type[Roster] | None = None
    """The class for a run without traces; None: traces are needed."""


ENGINES = {
    "docker": Engine(
        require_docker, docker_ancestors, docker_daemons, DockerRoster, UntracedRoster
    ),
    "podman": Engine(require_podman, lambda _: list, lambda _: set(), Roster),
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
    """The same engine, asked through its API if that answers: a process for each question takes 50
    ms, and a watch that waits for a thousand names loses refusals. Raises EngineError."""
    where = docker_endpoint(client) if client.engine == "docker" else ""
    if not where.startswith("unix://"):
        return client
    known = _docker_at(where, client)
    return known if known.answers else client


def running_container(name: str) -> Container:
    """The running container of this name or id. Raises BadInput and CannotObserve."""
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
