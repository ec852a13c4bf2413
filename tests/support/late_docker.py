"""A docker that tells of its events late: what stands between it and who asks."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

DOCKER = "/var/run/docker.sock"
_CHUNK = 1 << 16


@contextmanager
def late_events(place: Path, seconds: float) -> Iterator[str]:
    """``DOCKER_HOST`` of one that is ``seconds`` late, as long as the block lasts. That it listens
    is told at once, as by docker."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place))
        listener.listen()
        threading.Thread(target=_serve, args=(listener, seconds), daemon=True).start()
        yield f"unix://{place}"
        listener.shutdown(socket.SHUT_RDWR)


def _serve(listener: socket.socket, seconds: float) -> None:
    with suppress(OSError):  # it was closed
        while True:
            asker, docker = listener.accept()[0], socket.socket(socket.AF_UNIX)
            docker.connect(DOCKER)
            asked = asker.recv(_CHUNK)
            docker.sendall(asked)
            late = seconds if b"/events?" in asked else 0
            for one, other, wait in ((asker, docker, 0), (docker, asker, late)):
                threading.Thread(target=_pass_on, args=(one, other, wait), daemon=True).start()


def _pass_on(one: socket.socket, other: socket.socket, late: float) -> None:
    """All that comes; what follows the first of it late."""
    with suppress(OSError):  # whom it is for is gone
        while data := one.recv(_CHUNK):
            other.sendall(data)
            time.sleep(late)
            late = 0
        other.shutdown(socket.SHUT_WR)
