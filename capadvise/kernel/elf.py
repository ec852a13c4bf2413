"""Which functions a program takes from its libraries."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable

_HEADER = struct.Struct("<4sBB48xHH6x")
"""Magic number, class, byte order; size and number of program headers: those of 64 bits alone."""
_HEADERS_AT = 32
_SEGMENT = struct.Struct("<IIQQQQQQ")
"""Type, flags, offset, virtual and physical address, size in the file."""
_ENTRY = struct.Struct("<qQ")
_LOAD, _DYNAMIC = 1, 2
_STRTAB, _STRSZ = 5, 10
_MOST = 4 << 20
"""Bytes of names that are looked at: the file can be anybody's."""


def imported(handle: int, names: Iterable[str]) -> frozenset[str]:
    """Which of these names stand in the dynamic string table of an open file (O_PATH will do);
    none of one that is no program of this kind."""
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
    """The dynamic string table."""
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
    entries = os.pread(fd, min(dynamic[5], _MOST), dynamic[2])
    tags = dict(_ENTRY.iter_unpack(entries[: len(entries) // _ENTRY.size * _ENTRY.size]))
    address, length = tags.get(_STRTAB, 0), min(tags.get(_STRSZ, 0), _MOST)
    for kind_, _, offset, virtual, _, in_file, *_ in segments:
        if kind_ == _LOAD and virtual <= address < virtual + in_file:
            return os.pread(fd, length, offset + address - virtual)
    return b""
