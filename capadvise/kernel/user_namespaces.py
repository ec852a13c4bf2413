"""The user namespaces of the machine, as /proc shows them."""

from __future__ import annotations

import fcntl
import os
import sys
from contextlib import suppress
from pathlib import Path

from capadvise.kernel import procfs
from capadvise.kernel.id_maps import parse_map

INITIAL = 0xEFFFFFFD
"""The fixed inode number of the initial one: PROC_USER_INIT_INO in linux/proc_ns.h."""
_NS_GET_OWNER_UID = 0xB704  # linux/nsfs.h


def owners(proc: Path = procfs.PROC) -> set[int]:
    """The users who made the user namespaces that processes are in, but for the initial one."""
    seen, users = {INITIAL}, set()
    for pid in procfs.processes(proc):
        with suppress(OSError), open(proc / str(pid) / "ns" / "user", "rb") as file:
            number = os.fstat(file.fileno()).st_ino
            if number not in seen:
                seen.add(number)
                owner = fcntl.ioctl(file, _NS_GET_OWNER_UID, b"\0" * 4)
                users.add(int.from_bytes(owner, sys.byteorder))
    return users


def mapped(pid: int, kind: str, proc: Path = procfs.PROC) -> tuple[int, int] | None:
    """The number of a process's user namespace, and the highest id, as we see ids, that it maps;
    None for the initial one, for one that maps none yet, and where the process is gone. ``kind``:
    ``uid`` or ``gid``."""
    with suppress(OSError):
        number = os.stat(proc / str(pid) / "ns" / "user").st_ino
        if number != INITIAL:
            rows = parse_map((proc / str(pid) / f"{kind}_map").read_text())
            if rows:
                return number, max(first + count - 1 for _, first, count in rows)
    return None
