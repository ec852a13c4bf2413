"""The service manager, by ``systemctl``; its own process, by its socket."""

import functools
import os
import re
import shutil
import socket
import struct
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace

from capadvise.kernel import procfs
from capadvise.model.errors import CannotObserve
from capadvise.targets.client.answer import NoAnswer, answer_of
from capadvise.targets.systemd.refusals import refused
from capadvise.targets.systemd.unit import (
    COMMANDS,
    PROPERTIES,
    ServiceUnit,
    parse_commands,
    parse_unit,
)

SECONDS = 30.0
"""It answers questions at once; one that does not in this time hangs."""
STOP_SECONDS = 200.0
"""The longest time that a unit may take to stop and to start."""
_SOCKET = "/run/systemd/private"
"""The socket at which systemctl talks to it, for root alone."""
BOOTED = "/run/systemd/system"
"""It is there where systemd runs: sd_booted(3)."""
_UCRED = struct.Struct("3i")
_ITS_OWN = "/init.scope"
_EXPOSURE = re.compile(r"Overall exposure level for .*: ([0-9.]+) ([A-Z]+)")


def show(name: str) -> ServiceUnit:
    """A unit without its commands. Raises CannotObserve if the manager does not answer."""
    return parse_unit(_properties(name, PROPERTIES))


def known(name: str) -> ServiceUnit:
    """A unit with its commands. Raises BadInput if there is no such unit."""
    # A separate call: the values can have lines like those of other properties.
    unit = replace(show(name), commands=parse_commands(_properties(name, COMMANDS)))
    if unit.loaded == "not-found":
        raise refused("none", name=name)
    if unit.loaded != "loaded":
        raise refused("not loaded", name=name, loaded=unit.loaded)
    return unit


def properties(name: str, wanted: Sequence[str]) -> dict[str, str]:
    """The properties of a unit, whose values are one line each."""
    return several([name], wanted)[0]


def several(names: Sequence[str], wanted: Sequence[str]) -> list[dict[str, str]]:
    """The properties of several units."""
    blocks = _call("show", f"--property={','.join(wanted)}", "--", *names).split("\n\n")
    pairs = [[line.partition("=") for line in block.split("\n")] for block in blocks]
    return [{key: value for key, _, value in block} for block in pairs]


def drop_ins(name: str) -> list[str]:
    """The drop-ins of a unit, the most important last."""
    return _properties(name, ("DropInPaths",)).strip().partition("=")[2].split()


def confined_by(name: str, keys: Iterable[str]) -> frozenset[str]:
    """Those of these settings that a unit has. A list of calls that are refused can be added to."""
    settings = properties(name, sorted(keys)).items()
    return frozenset(key for key, value in settings if value not in ("", "no") and value[0] != "~")


def exposure(name: str) -> str | None:
    """The rating of ``systemd-analyze security``: ``9.6 UNSAFE``; None if it fails."""
    words = ["systemd-analyze", "security", "--no-pager", "--", name]
    try:
        output = answer_of(words, "systemd-analyze", SECONDS).stdout
    except NoAnswer:
        return None
    rating = _EXPOSURE.search(output)
    return f"{rating[1]} {rating[2]}" if rating else None


def reload() -> None:
    """Make it read its files again."""
    _call("daemon-reload")


def stop(name: str) -> None:
    """Stop a unit without waiting."""
    _call("stop", "--no-block", "--quiet", "--", name)


def stop_all(names: Sequence[str]) -> None:
    """Stop units, and wait for their end."""
    if names:
        _call("stop", "--quiet", "--", *names, seconds=STOP_SECONDS)


def restart(name: str) -> None:
    """Restart a unit without waiting."""
    _call("restart", "--no-block", "--quiet", "--", name)


def kill(name: str) -> None:
    """Kill all processes of a unit."""
    _call("kill", "--signal=KILL", "--quiet", "--", name)


def pid() -> int:
    """The manager's pid in our pid namespace. Raises CannotObserve if there is none."""
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


@functools.cache
def group() -> str:
    """The control group above those of all units; empty: the root."""
    with suppress(CannotObserve):
        for line in procfs.cgroup(pid()).splitlines():
            if line.endswith(_ITS_OWN):
                return line.split(":", 2)[2].removesuffix(_ITS_OWN)
    return ""


def _properties(name: str, wanted: Sequence[str]) -> str:
    return _call("show", f"--property={','.join(wanted)}", "--", name)


def _call(*words: str, seconds: float = SECONDS) -> str:
    if shutil.which("systemctl") is None:
        raise CannotObserve("systemctl is not installed")
    try:
        return answer_of(["systemctl", *words], "systemctl", seconds).stdout
    except NoAnswer as error:
        if not os.path.isdir(BOOTED):
            raise CannotObserve(
                "systemd does not run here",
                hint="without a unit: capadvise run -- PROGRAM, or capadvise attach PID",
            ) from error
        raise CannotObserve(str(error)) from error
