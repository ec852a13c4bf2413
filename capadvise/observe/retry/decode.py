"""The arguments of a call in words: paths, addresses, pids, modes, names. Pure: memory is read
through ``Memory``. The result is hostile and unescaped."""

import os
import socket
import struct
from collections.abc import Sequence
from typing import Protocol

from capadvise.kernel.syscalls import in_words, signature, signed


class Memory(Protocol):
    """The memory of a stopped thread, as far as arguments point into it."""

    def text(self, address: int) -> bytes:
        """The string at an address, without its NUL byte; empty if it cannot be read."""

    def raw(self, address: int, size: int) -> bytes:
        """The bytes at an address; fewer, or none, if they cannot be read."""

    def folder(self, fd: int) -> str:
        """The path of a descriptor; for AT_FDCWD, that of the working directory."""


_AT_FDCWD = -100


def detail(call: str, args: Sequence[int], memory: Memory) -> str | None:
    """The arguments of a call in words; None if there is nothing to tell."""
    words: list[str] = []
    folder: int | None = None
    """The descriptor that the next path is relative to."""
    for at, (name, kind) in enumerate(signature(call)):
        value = args[at]
        if kind == "dirfd":
            folder = signed(value)
        elif kind == "path":
            if value or folder is not None:
                at_fd = _AT_FDCWD if folder is None else folder
                words.append(_path_at(at_fd, memory.text(value), memory))
            folder = None
        elif kind == "address":
            words.append(address(memory.raw(value, min(args[at + 1] & 0xFFFF, 128))))
        elif kind == "name":
            words.append(memory.text(value).decode(errors="backslashreplace"))
        elif kind == "fd":
            words.append(memory.folder(signed(value)))
        elif kind == "mode" and call.startswith("open") and not args[at - 1] & 0o100:
            pass  # only O_CREAT gives it a meaning
        else:
            words.append(in_words(name, kind, value))
    return ", ".join(filter(None, words)) or None


def _path_at(fd: int, path: bytes, memory: Memory) -> str:
    text = path.decode(errors="backslashreplace")
    if text.startswith("/") or (fd == _AT_FDCWD and text):
        return text
    return os.path.join(memory.folder(fd), text) if text else memory.folder(fd)


def address(raw: bytes) -> str:
    """A socket address: ``0.0.0.0:80``, ``[::]:80``, a path, a netlink group."""
    if len(raw) < 2:
        return ""
    (family,) = struct.unpack_from("=H", raw)
    if family == socket.AF_INET and len(raw) >= 8:
        return f"{socket.inet_ntop(family, raw[4:8])}:{int.from_bytes(raw[2:4], 'big')}"
    if family == socket.AF_INET6 and len(raw) >= 24:
        return f"[{socket.inet_ntop(family, raw[8:24])}]:{int.from_bytes(raw[2:4], 'big')}"
    if family == socket.AF_UNIX:
        path = raw[2:]
        name = b"@" + path[1:] if path[:1] == b"\0" else path.partition(b"\0")[0]
        return name.rstrip(b"\0").decode(errors="backslashreplace")
    if family == 16 and len(raw) >= 12:
        groups = struct.unpack_from("=I", raw, 8)[0]
        return f"netlink, groups {groups:#x}" if groups else "netlink"
    return f"address of family {family}"
