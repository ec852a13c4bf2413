"""A stopped process in /proc: its memory, descriptors, directory and threads."""

import os
from contextlib import suppress

from capadvise.observe.retry.thread import Gone


class ProcView:
    """See ``thread.StoppedProcess``."""

    def __init__(self, pid: int) -> None:
        self._folder = f"/proc/{pid}"
        self._folder_bytes = self._folder.encode()
        self._memory_fd = -1

    def text(self, address: int) -> bytes:
        start = self.raw(address, 128)  # most are shorter
        if b"\0" not in start:
            start = self.raw(address, 4096)
        return start.partition(b"\0")[0]

    def raw(self, address: int, size: int) -> bytes:
        if not address or address >> 63:
            return b""
        if self._memory_fd < 0:
            try:
                self._memory_fd = os.open(f"{self._folder}/mem", os.O_RDWR | os.O_CLOEXEC)
            except OSError:
                return b""
        try:
            return os.pread(self._memory_fd, size, address)
        except OSError:
            return b""

    def write(self, address: int, data: bytes) -> bool:
        self.raw(address, 1)
        try:
            return os.pwrite(self._memory_fd, data, address) == len(data)
        except OSError:
            return False

    def spare_memory(self, size: int, reach: int) -> int:
        """An address below ``reach`` of spare bytes that can be read and written; 0 if there is
        none. It is at the end of the heap, which is used last, or else of the last writable
        mapping."""
        end = 0
        with suppress(OSError), open(f"{self._folder}/maps", "rb") as file:
            for line in file:
                addresses, rights, *_ = line.split(maxsplit=2)
                last = int(addresses.partition(b"-")[2], 16)
                if last > reach:
                    break
                if rights.startswith(b"rw"):
                    end = last
                    if b"[heap]" in line:
                        break
        return max(0, end - size) & ~15

    def close(self) -> None:
        if self._memory_fd >= 0:
            os.close(self._memory_fd)
            self._memory_fd = -1

    def link(self, fd: int) -> str:
        with suppress(OSError):
            return os.readlink(f"{self._folder}/cwd" if fd < 0 else f"{self._folder}/fd/{fd}")
        return ""

    def folder(self, fd: int) -> str:
        return self.link(fd) or f"descriptor {fd}"

    def descriptors(self) -> list[int]:
        with suppress(OSError):
            return [int(name) for name in os.listdir(f"{self._folder}/fd")]
        return []

    def file(self, at: int | None, path: bytes, *, follow: bool = True) -> os.stat_result | None:
        """The status of a file; with ``follow``, that of a link's target."""
        try:
            return os.stat(self._below(at, path), follow_symlinks=follow or not path)
        except OSError:
            return None

    def has_capabilities(self, at: int | None, path: bytes, *, follow: bool = True) -> bool:
        where, follow = self._below(at, path), follow or not path
        try:
            return bool(os.getxattr(where, b"security.capability", follow_symlinks=follow))
        except OSError:
            return False

    def status(self, tid: int) -> bytes:
        try:
            with open(f"/proc/{tid}/status", "rb", buffering=0) as file:
                return file.read(1 << 16)
        except OSError as error:
            raise Gone from error

    def user_namespace(self, tid: int) -> str:
        with suppress(OSError):
            return os.readlink(f"/proc/{tid}/ns/user")
        return ""

    def _below(self, at: int | None, path: bytes) -> bytes:
        folder = self._folder_bytes
        if path.startswith(b"/"):
            return b"%s/root%s" % (folder, path)
        if at is None:
            return b"%s/cwd/%s" % (folder, path)
        return b"%s/fd/%d/%s" % (folder, at, path) if path else b"%s/fd/%d" % (folder, at)
