"""Calls that take no capability, of those at which copies are made: most are such, and a program is
not to wait for copies in vain.
"""

from __future__ import annotations

import os
import resource
import struct
from collections.abc import Mapping
from contextlib import suppress

from capadvise.linux.copies.thread import CopiedThread
from capadvise.linux.kernel import libc

_AT_FDCWD = -100
_LONGEST_PATH = 4096
_OWNERS_FREE = ("chmod", "fchmod", "utime")
"""What the owner of a file may do (setattr_prepare() of fs/attr.c)."""
_INTERNET = 2, 10  # AF_INET, AF_INET6
_FIRST_FREE = 1024
"""net.ipv4.ip_unprivileged_port_start, or above: then a copy is made in vain."""
_ITSELF = 0, 0  # PRIO_PROCESS, and the caller
_NO_LIMIT = (1 << 64) - 1


def is_free(
    thread: CopiedThread, status: Mapping[str, str], call: str, args: tuple[int, ...]
) -> bool:
    """Whether a call takes none, as far as can be told beforehand. ``status``: /proc/PID/status of
    the thread, which waits in the call."""
    with suppress(OSError, ValueError, struct.error, OverflowError):
        if call == "bind":
            address = thread.bytes_at(args[1], 4)  # struct sockaddr_in and sockaddr_in6 begin so
            family, port = int.from_bytes(address[:2], "little"), int.from_bytes(address[2:], "big")
            return family not in _INTERNET or not 0 < port < _FIRST_FREE
        if call.startswith(_OWNERS_FREE):
            return _owner(thread, call, args) == int(status["Uid"].split()[3])
        if call == "setpriority" and (args[0] & 0xFFFFFFFF, args[1] & 0xFFFFFFFF) == _ITSELF:
            return _signed(args[2]) >= os.getpriority(os.PRIO_PROCESS, thread.tid)
        if call == "setrlimit" or (call == "prlimit64" and not args[0] & 0xFFFFFFFF):
            which, at = (args[0], args[1]) if call == "setrlimit" else (args[1], args[2])
            _, wanted = struct.unpack("<QQ", thread.bytes_at(at, 16))
            _, hard = resource.prlimit(thread.tid, which & 0xFFFFFFFF)
            return bool(wanted <= (_NO_LIMIT if hard == resource.RLIM_INFINITY else hard))
    return False


def _owner(thread: CopiedThread, call: str, args: tuple[int, ...]) -> int:
    if call == "fchmod" or (call == "utimensat" and not args[1]):
        return os.stat(thread.folder / "fd" / str(args[0] & 0xFFFFFFFF)).st_uid
    folder, at = (args[0], args[1]) if call.endswith(("at", "at2")) else (_AT_FDCWD, args[0])
    return stat_of(thread, folder, at).st_uid


def stat_of(thread: CopiedThread, folder: int, at: int) -> os.stat_result:
    """Of the file that a call of a thread's names: by a descriptor of a folder, and the address of
    a path. Raises OSError."""
    path = path_at(thread, at)
    descriptor = _signed(folder)
    base = "cwd" if descriptor == _AT_FDCWD else f"fd/{descriptor}"
    fd = libc.open_in_root(str(thread.folder / ("root" if path.startswith("/") else base)), path)
    try:
        return os.fstat(fd)
    finally:
        os.close(fd)


def path_at(thread: CopiedThread, at: int) -> str:
    """A path in its memory."""
    return os.fsdecode(thread.bytes_at(at, _LONGEST_PATH).partition(b"\0")[0])


def _signed(value: int) -> int:
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value
