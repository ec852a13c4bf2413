"""File capabilities: what an exec of a file gives."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from capadvise.kernel import libc
from capadvise.model.caps import CapSet, from_mask


@dataclass(frozen=True, slots=True)
class FileCaps:
    """The extended attribute ``security.capability`` of a file."""

    permitted: CapSet
    inheritable: CapSet
    effective: bool
    """The program holds them at once, without asking: one that knows nothing of capabilities."""
    root: int | None = None
    """They count in user namespaces whose root has this uid alone; None: everywhere."""

    @classmethod
    def decode(cls, raw: bytes) -> FileCaps | None:
        """``struct vfs_cap_data`` of linux/capability.h; None for what the kernel would refuse."""
        revision = raw[3] if len(raw) >= 4 else 0
        words = {1: 2, 2: 4, 3: 4}.get(revision, 0)
        size = 4 + 4 * words + (4 if revision == 3 else 0)
        if not words or len(raw) != size:
            return None
        values = struct.unpack_from(f"<{words}I", raw, 4)
        high = (values[2], values[3]) if words == 4 else (0, 0)
        return cls(
            permitted=from_mask(values[0] | high[0] << 32),
            inheritable=from_mask(values[1] | high[1] << 32),
            effective=bool(raw[0] & 1),
            root=struct.unpack_from("<I", raw, 20)[0] if revision == 3 else None,
        )


@dataclass(frozen=True, slots=True)
class Gain:
    """What an exec of a file changes."""

    changes: bool = False
    """The identity: it has set-id bits or capabilities."""
    user: int | None = None
    """Whose it becomes, where it has the set-uid bit."""
    demanded: CapSet = frozenset()
    """What must be within the bounding set, root's too: else the exec fails with EPERM
    (bprm_caps_from_vfs_caps() of security/commoncap.c). No check asks for it."""


def gain(path: str) -> Gain:
    """What an exec of this file changes; nothing for one that is not there."""
    try:
        return _gain_of(path)
    except OSError:
        return Gain()


def open_executed(pid: int, path: str, places: Iterable[str]) -> int | None:
    """A descriptor (O_PATH) of what a process executes, while it lives; by its path in /proc alone,
    the process could end between two looks at it. Afterwards the path tells, as one of these
    processes (``/proc/PID``) would find it from its root and its working folder: the first that is
    there."""
    with suppress(OSError):
        return os.open(f"/proc/{pid}/exe", os.O_PATH | os.O_CLOEXEC)
    for place in places:
        with suppress(OSError):
            start = "" if path.startswith("/") else os.readlink(f"{place}/cwd")
            return libc.open_in_root(f"{place}/root", os.path.join(start, path))
    return None


def gain_of(handle: int) -> Gain:
    """What an exec of an open file changes."""
    return gain(f"/proc/self/fd/{handle}")


def _gain_of(path: str) -> Gain:
    file = os.stat(path)
    if file.st_mode & 0o6000:
        return Gain(True, file.st_uid if file.st_mode & 0o4000 else None)
    with suppress(OSError):
        caps = FileCaps.decode(os.getxattr(path, "security.capability"))
        return Gain(True, demanded=caps.permitted if caps and caps.effective else frozenset())
    return Gain()
