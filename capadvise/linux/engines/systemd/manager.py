"""The service manager, by ``systemctl``; its own process, by its socket."""

from __future__ import annotations

import shutil
import socket
import struct

from capadvise.errors import BadInput, CannotObserve
from capadvise.linux.engines.cli.answer import NoAnswer, answer_of
from capadvise.linux.engines.systemd.unit import PROPERTIES, ServiceUnit, parse_unit

SECONDS = 30.0
"""It answers questions at once; one that does not in this time hangs."""
_SOCKET = "/run/systemd/private"
"""Where systemctl talks to it, for root alone."""
_UCRED = struct.Struct("3i")


def show(name: str) -> ServiceUnit:
    """A unit as it is now. Raises CannotObserve where the manager does not answer."""
    return parse_unit(_call("show", f"--property={','.join(PROPERTIES)}", "--", name))


def known(name: str) -> ServiceUnit:
    """As ``show``. Raises BadInput where there is no such unit."""
    unit = show(name)
    if unit.loaded == "not-found":
        raise BadInput(f"there is no unit {name}")
    if unit.loaded != "loaded":
        raise BadInput(f"{name} cannot be started: systemd says {unit.loaded}")
    return unit


def reload() -> None:
    """Have it read its files again."""
    _call("daemon-reload")


def stop(name: str) -> None:
    """Without waiting for its end."""
    _call("stop", "--no-block", "--quiet", "--", name)


def kill(name: str) -> None:
    """All of its processes."""
    _call("kill", "--signal=KILL", "--quiet", "--", name)


def pid() -> int:
    """The manager's process, as our pid namespace counts: 1, but where it is a container's.
    Raises CannotObserve where there is none."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.connect(_SOCKET)
            raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    except OSError as error:
        raise CannotObserve(f"systemd does not run here: {_SOCKET}: {error.strerror}") from error
    number: int = _UCRED.unpack(raw)[0]
    if not number:
        raise CannotObserve("systemd runs in a pid namespace that is not below this one")
    return number


def _call(*words: str) -> str:
    if shutil.which("systemctl") is None:
        raise CannotObserve("systemctl is not installed")
    try:
        return answer_of(["systemctl", *words], "systemctl", SECONDS).stdout
    except NoAnswer as error:
        raise CannotObserve(str(error)) from error
