"""Pages of the kernel's ring buffer, made by hand."""

from __future__ import annotations

import struct

from capadvise.observe.ftrace.check_events import Types

CHECK, STACK, FORK, EXEC, EXIT, CHOWN, CLONE = range(1, 8)
TYPES = Types(
    check=CHECK,
    check_fields=struct.Struct("<8xqii"),
    returned=None,
    return_fields=struct.Struct(""),
    stack=STACK,
    fork=FORK,
    fork_fields=struct.Struct("<8xii"),
    exec=EXEC,
    exec_filename=8,
    exit=EXIT,
    enters={},
    exits={},
    sigsys=9,
)


def event(kind: int, pid: int, body: bytes = b"") -> bytes:
    data = struct.pack("<HBBi", kind, 0, 0, pid) + body
    return data + b"\0" * (-len(data) % 4)


def small(delta: int, data: bytes) -> bytes:
    return struct.pack("<I", len(data) // 4 | delta << 5) + data


def large(delta: int, data: bytes) -> bytes:
    return struct.pack("<II", delta << 5, len(data) + 4) + data


def page(start: int, *records: bytes, flags: int = 0) -> bytes:
    body = b"".join(records)
    return struct.pack("<QQ", start, len(body) | flags) + body
