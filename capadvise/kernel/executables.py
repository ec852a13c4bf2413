"""Files of programs: the capabilities and ids that an exec gives, and the library functions that a
program imports."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace

from capadvise.kernel import libc
from capadvise.model.caps import Cap, CapSet, from_mask


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
    """The changes that an exec of a file makes to its process."""

    changes: bool = False
    """The identity: it has set-id bits or capabilities."""
    user: int | None = None
    """The effective uid afterwards, if the file has the set-uid bit."""
    demanded: CapSet = frozenset()
    """Capabilities that must be in the bounding set, root's too, and with no_new_privs: else the
    exec fails with EPERM (bprm_caps_from_vfs_caps() of security/commoncap.c), without a capability
    check."""
    path: str = ""
    """The path of such a file, in its own mount namespace."""


def open_executed(pid: int, path: str, places: Iterable[str]) -> tuple[int | None, bool]:
    """A descriptor (O_PATH) of what a process executes, while it lives; by its path in /proc alone,
    the process could end between two looks at it. Afterwards the path tells, see ``open_named``."""
    with suppress(OSError):
        return os.open(f"/proc/{pid}/exe", os.O_PATH | os.O_CLOEXEC), True
    return open_named(path, places)


def open_named(path: str, places: Iterable[str]) -> tuple[int | None, bool]:
    """A descriptor (O_PATH) of a file, as one of these processes (``/proc/PID``) would find it from
    its root and its working folder: the first that is there. False beside it if this can be another
    file: the process in question may have had another working folder."""
    for place in places:
        with suppress(OSError):
            start = "" if path.startswith("/") else os.readlink(f"{place}/cwd")
            return libc.open_in_root(f"{place}/root", os.path.join(start, path)), not start
    return None, False


def gain_of(handle: int, *, in_user_namespace: bool = False) -> Gain:
    """The changes that an exec of an open file makes to a process of this user namespace, or of
    another one."""
    path, gain = f"/proc/self/fd/{handle}", Gain()
    with suppress(OSError):  # most have no capabilities
        if os.statvfs(path).f_flag & os.ST_NOSUID:
            return gain
        file = os.stat(path)
        gain = Gain(bool(file.st_mode & 0o6000), file.st_uid if file.st_mode & 0o4000 else None)
        caps = FileCaps.decode(os.getxattr(path, "security.capability"))
        if caps is not None and (in_user_namespace or not caps.root):
            demanded = caps.permitted if caps.effective else frozenset[Cap]()
            name = os.readlink(os.fsencode(path)).decode(errors="backslashreplace")
            gain = replace(gain, changes=True, demanded=demanded, path=name)
    return gain


_HEADER = struct.Struct("<4sBB48xHH6x")
"""Magic number, class, byte order; size and number of program headers: those of 64 bits alone."""
_HEADERS_AT = 32
_SEGMENT = struct.Struct("<IIQQQQQQ")
"""Type, flags, offset, virtual and physical address, size in the file."""
_ENTRY = struct.Struct("<qQ")
_LOAD, _DYNAMIC = 1, 2
_STRTAB, _STRSZ = 5, 10
_LONGEST_TABLE = 4 << 20
"""Bytes of names that are looked at: the file can be anybody's."""


def imported(handle: int, names: Iterable[str]) -> frozenset[str]:
    """Those of ``names`` that stand in the dynamic string table of an open file (O_PATH will do);
    none if it is no 64-bit ELF program."""
    try:
        fd = os.open(f"/proc/self/fd/{handle}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return frozenset()
    try:
        table = b"\0" + _names(fd) + b"\0"
    except (OSError, OverflowError, struct.error):  # the second: a place beyond any file
        return frozenset()
    finally:
        os.close(fd)
    return frozenset(name for name in names if b"\0%s\0" % name.encode() in table)


def _names(fd: int) -> bytes:
    header = os.pread(fd, 64, 0)
    magic, kind, order, size, count = _HEADER.unpack(header)
    if (magic, kind, order, size) != (b"\x7fELF", 2, 1, _SEGMENT.size):
        return b""
    (start,) = struct.unpack_from("<Q", header, _HEADERS_AT)
    raw = os.pread(fd, size * count, start)
    segments = [_SEGMENT.unpack_from(raw, at) for at in range(0, size * count, size)]
    dynamic = next((item for item in segments if item[0] == _DYNAMIC), None)
    if dynamic is None:
        return b""
    entries = os.pread(fd, min(dynamic[5], _LONGEST_TABLE), dynamic[2])
    tags = dict(_ENTRY.iter_unpack(entries[: len(entries) // _ENTRY.size * _ENTRY.size]))
    address, length = tags.get(_STRTAB, 0), min(tags.get(_STRSZ, 0), _LONGEST_TABLE)
    for kind_, _, offset, virtual, _, in_file, *_ in segments:
        if kind_ == _LOAD and virtual <= address < virtual + in_file:
            return os.pread(fd, length, offset + address - virtual)
    return b""
