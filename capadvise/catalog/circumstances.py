"""Circumstances of a process that decide how far a capability reaches.

The catalog ties risks, attacks and uses to these; ``judgement.risk`` derives them from a posture. A
circumstance holds, does not hold, or is unknown (None).
"""

from collections.abc import Mapping
from enum import StrEnum


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


Where = tuple[tuple[Circumstance, bool], ...]
"""All of these must be so: (circumstance, whether it holds)."""
Known = Mapping[Circumstance, bool | None]


def holds(where: Where, known: Known) -> bool | None:
    """True if all of it holds; None if that depends on something unknown."""
    answers = [agrees(*item, known) for item in where]
    if False in answers:
        return False
    return None if None in answers else True


def agrees(circumstance: Circumstance, wanted: bool, known: Known) -> bool | None:
    """True if one circumstance is as wanted; None if it is unknown."""
    is_so = known.get(circumstance)
    return None if is_so is None else is_so is wanted
