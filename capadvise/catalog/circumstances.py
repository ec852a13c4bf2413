"""Circumstances of a process that decide how far a capability reaches.

The catalog ties risks, attacks and uses to these; ``judgement.risk`` derives them from a posture. A
circumstance holds, does not hold, or is unknown (None).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from capadvise.catalog import values
from capadvise.model import strict
from capadvise.model.errors import BadInput


class Circumstance(StrEnum):
    """One circumstance, by its name in the catalog's files."""

    HOST_USER = "host-user"
    """It is in the machine's own user namespace: uid 0 is root of the machine."""
    HOST_NETWORK = "host-network"
    HOST_PROCESSES = "host-processes"
    SHARED_PROCESSES = "shared-processes"
    """It sees the processes of other containers."""
    HOST_IPC = "host-ipc"
    HOST_NAME = "host-name"
    HOST_FILES = "host-files"
    """A folder of the host is mounted writable."""
    ENGINE_SOCKET = "engine-socket"
    """It has docker.sock, or another engine's socket."""
    HOST_DEVICE = "host-device"
    """It has a disk or the whole /dev of the machine."""
    CGROUP_V1 = "cgroup-v1"
    WRITABLE_CGROUP = "writable-cgroup"
    UNLIMITED_MEMORY = "unlimited-memory"
    UNFILTERED = "unfiltered"
    """It has no seccomp filter."""
    UNCONFINED = "unconfined"
    """Neither AppArmor nor SELinux restrains it."""


SAID: Mapping[Circumstance, tuple[str, str]] = {
    Circumstance.HOST_USER: (
        "it is in the host's user namespace",
        "it is in a user namespace of its own",
    ),
    Circumstance.HOST_NETWORK: ("it shares the host's network", "it has a network of its own"),
    Circumstance.HOST_PROCESSES: (
        "it sees the host's processes",
        "it sees only its own container's processes",
    ),
    Circumstance.SHARED_PROCESSES: (
        "it sees the processes of other containers",
        "it sees only its own container's processes",
    ),
    Circumstance.HOST_IPC: ("it shares the host's IPC", "it has an IPC namespace of its own"),
    Circumstance.HOST_NAME: ("it shares the host's name", "it has a host name of its own"),
    Circumstance.HOST_FILES: (
        "a system folder of the host is mounted writable",
        "no system folder of the host is mounted writable",
    ),
    Circumstance.ENGINE_SOCKET: (
        "the engine's control socket is mounted",
        "no engine's control socket is mounted",
    ),
    Circumstance.HOST_DEVICE: (
        "a device of the host is passed in",
        "no disk or other device of the host is passed in",
    ),
    Circumstance.CGROUP_V1: (
        "the host has version 1 cgroups",
        "the host has no version 1 cgroups",
    ),
    Circumstance.WRITABLE_CGROUP: ("its cgroups are writable", "its cgroups are read-only"),
    Circumstance.UNLIMITED_MEMORY: ("it has no memory limit", "it has a memory limit"),
    Circumstance.UNFILTERED: ("it has no seccomp filter", "it has a seccomp filter"),
    Circumstance.UNCONFINED: (
        "neither AppArmor nor SELinux confines it",
        "AppArmor or SELinux confines it",
    ),
}
"""(text if it holds, text if it does not)."""

Where = tuple[tuple[Circumstance, bool], ...]
"""All of these must be so: (circumstance, whether it holds)."""
Known = Mapping[Circumstance, bool | None]


def holds(where: Where, known: Known) -> bool | None:
    """True if all of it holds; None if that depends on something unknown."""
    answers = [_agrees(item, known) for item in where]
    if False in answers:
        return False
    return None if None in answers else True


def broken(where: Where, known: Known) -> list[str]:
    """The conditions that do not hold: ``it has a network of its own``."""
    return [SAID[c][not known[c]] for c, wanted in where if _agrees((c, wanted), known) is False]


def unknown(where: Where, known: Known) -> list[str]:
    """The unknown conditions: ``it shares the host's network``."""
    return [SAID[c][not wanted] for c, wanted in where if known.get(c) is None]


def met(where: Iterable[tuple[Circumstance, bool]], known: Known) -> list[str]:
    """The conditions that hold."""
    return [SAID[c][not wanted] for c, wanted in where if _agrees((c, wanted), known)]


def _agrees(item: tuple[Circumstance, bool], known: Known) -> bool | None:
    circumstance, wanted = item
    is_so = known.get(circumstance)
    return None if is_so is None else is_so is wanted


def parse_where(path: Path, raw: Any) -> Where:
    """Read ``[host-network, not host-user]`` under the key ``where``; empty if it is missing."""
    if "where" not in raw:
        return ()
    return tuple(_one(path, raw, item) for item in values.texts(path, raw, "where"))


def _one(path: Path, raw: Any, text: str) -> tuple[Circumstance, bool]:
    wanted = not text.startswith("not ")
    try:
        return Circumstance(text.removeprefix("not ")), wanted
    except ValueError as error:
        names = ", ".join(Circumstance)
        at = strict.place(path, raw, "where")
        raise BadInput(f"{at}: {text!r} in 'where' is none of {names}") from error
