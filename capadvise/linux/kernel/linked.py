"""The libraries of a program, as the dynamic linker finds them where it usually does (ld.so(8))."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

from capadvise.linux.kernel import elf, libc

_FOLDERS = (
    *("/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64"),
    *("/lib", "/usr/lib"),
)
_ITS_OWN = ("libc.so.", "ld-linux", "libc.musl", "ld-musl")
"""Where the function itself comes from."""
_MOST = 128


def alone_calls(handle: int, root: str, function: str) -> bool:
    """Whether a program calls a function of the C library, as seen from ``root``, and none of its
    libraries does: where one of them is not there, or more can be loaded later, nobody knows."""
    own = elf.imported(handle, (function, "dlopen", "dlmopen"))
    if own != {function}:
        return False
    waiting, seen = list(elf.needed(handle)), set[str]()
    while waiting:
        name = waiting.pop()
        if name in seen or name.startswith(_ITS_OWN):
            continue
        seen.add(name)
        if len(seen) > _MOST or (library := _opened(name, root)) is None:
            return False
        try:
            if elf.imported(library, (function,)):
                return False
            waiting += elf.needed(library)
        finally:
            os.close(library)
    return True


def _opened(name: str, root: str) -> int | None:
    """A descriptor (O_PATH) of a library."""
    for path in _paths(name):
        with suppress(OSError):
            return libc.open_in_root(root, path)
    return None


def _paths(name: str) -> Iterator[str]:
    if "/" in name:
        yield name
    else:
        yield from (f"{folder}/{name}" for folder in _FOLDERS)
