"""docker: its daemon must run on this machine, for its kernel is the one that we see."""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial

from capadvise.kernel import procfs
from capadvise.model.errors import CannotObserve
from capadvise.targets.client.api import Api
from capadvise.targets.client.client import Client
from capadvise.targets.client.docker_client import DockerClient

_DAEMONS = ("dockerd", "containerd")
_DEFAULT = "unix:///var/run/docker.sock"
"""Where the client looks for the daemon, unless it is told otherwise."""
_PEER = struct.Struct("3i")


def require(docker: Client) -> Client:
    """By its API, from now on. Raises CannotObserve, in one line, where no docker answers or it is
    another machine's."""
    where = endpoint(docker)
    if not where.startswith("unix://"):
        raise CannotObserve(
            f"docker runs on another machine ({where}): its kernel cannot be observed from here",
            hint="run capadvise on that machine, or unset DOCKER_HOST and DOCKER_CONTEXT",
        )
    known = _at(where, docker)
    if not known.answers:
        docker.call("version", "--format", "{{.Server.Version}}")  # the client says best why
        raise CannotObserve(
            f"the socket {known.api.path!r} of docker does not answer, though its client does",
            hint="give DOCKER_HOST the path of the socket: unix:///run/docker.sock",
        )
    return known


def quick(docker: Client) -> Client:
    """By its API where that answers, else as it is: a process for each question takes 50 ms. Raises
    EngineError."""
    where = endpoint(docker)
    if not where.startswith("unix://"):
        return docker
    known = _at(where, docker)
    return known if known.answers else docker


def _at(where: str, docker: Client) -> DockerClient:
    return DockerClient(docker.engine, docker.argv, Api(where.removeprefix("unix://")))


def endpoint(docker: Client) -> str:
    """The address of the daemon: of ``-H``, DOCKER_HOST or the context. Raises EngineError."""
    words = [word.removeprefix("--host=") for word in docker.argv if word.startswith("--host=")]
    given = words[-1] if words else os.environ.get("DOCKER_HOST")
    contexts = any(word.startswith("--context=") for word in docker.argv)
    if given and not contexts:
        return given
    context, config = os.environ.get("DOCKER_CONTEXT"), os.environ.get("DOCKER_CONFIG")
    if len(docker.argv) == 1 and not context and not _chosen(config or "~/.docker"):
        return _DEFAULT
    return _of_context(docker, context, config)


def _chosen(config: str) -> bool:
    """Whether the user's configuration chooses a context, or may do."""
    try:
        with open(os.path.expanduser(f"{config}/config.json"), "rb") as file:
            return bool(json.load(file).get("currentContext"))
    except FileNotFoundError:
        return False
    except (OSError, ValueError, AttributeError):
        return True


@cache
def _of_context(docker: Client, *_: str | None) -> str:
    """Asked once: each trial wants to know several times, and each answer takes a client."""
    return docker.call("context", "inspect", "--format", "{{.Endpoints.docker.Host}}").strip()


def ancestors(docker: Client) -> Callable[[], list[int]]:
    """What lists the threads that containers descend from. Raises EngineError."""
    return partial(threads, endpoint(docker).removeprefix("unix://"))


def threads(path: str) -> list[int]:
    """The threads of the dockerd that listens at ``path``, of others and of containerd: whatever
    they fork is followed.

    Raises CannotObserve where there are none in this machine's processes.
    """
    pids = {pid for pid in procfs.processes() if procfs.comm(pid) in _DAEMONS}
    with suppress(OSError):
        pids.add(_listener(path))
    threads = [thread for pid in sorted(pids - {0, 1}) for thread in procfs.threads(pid)]
    if not threads:
        raise CannotObserve(
            f"the docker daemon behind {path} is not a process of this machine",
            hint="run capadvise where dockerd runs",
        )
    return threads


def _listener(path: str) -> int:
    """The process that listens on a socket: pid 1 where systemd passed it on."""
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(path)
        size = _PEER.size
        pid: int = _PEER.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))[0]
        return pid
