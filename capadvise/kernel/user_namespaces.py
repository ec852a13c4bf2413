"""The user namespaces of processes, and what their maps make of an id."""

from __future__ import annotations

import fcntl
import os
import sys
from contextlib import suppress
from pathlib import Path

from capadvise.kernel import procfs

NOBODY = 65534
"""How the kernel shows an id that a user namespace does not have: /proc/sys/kernel/overflowuid."""


def inverse(rows: Map) -> Map:
    """The map in the other direction."""
    return [(other, first, count) for first, other, count in rows]


def inside(number: int, rows: Map) -> int:
    """An id, mapped; NOBODY if the map lacks it."""
    mapped = translated(number, rows)
    return NOBODY if mapped is None else mapped


Map = list[tuple[int, int, int]]
"""(first id, what it becomes, how many) …"""


def parse_map(text: str) -> Map:
    """``/proc/PID/uid_map``: inside, outside, how many."""
    rows = [line.split() for line in text.splitlines()]
    whole = [row for row in rows if len(row) == 3 and all(map(_is_number, row))]
    return [(int(row[0]), int(row[1]), int(row[2])) for row in whole]


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 20


def translated(number: int, rows: Map) -> int | None:
    """An id, mapped; None if the map lacks it."""
    for first, other, count in rows:
        if first <= number < first + count:
            return other + number - first
    return None


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


Ids = tuple[int, int, int]


def ids(pid: int, proc: Path = procfs.PROC) -> tuple[Ids, Ids] | None:
    """Real, effective and saved user and group ids, as its own user namespace has them; None when
    it is gone."""
    folder = proc / str(pid)
    try:
        fields = procfs.parse_status((folder / "status").read_text(errors="backslashreplace"))
        maps = [(folder / name).read_text() for name in ("uid_map", "gid_map")]
        ours = (folder / "ns/user").stat().st_ino == (proc / "self/ns/user").stat().st_ino
    except OSError:
        return None
    kinds = []
    for name, text in zip(("Uid", "Gid"), maps, strict=True):
        seen = map(int, fields[name].split()[:3])
        rows = inverse(parse_map(text))
        real, effective, saved = (id if ours else inside(id, rows) for id in seen)
        kinds.append((real, effective, saved))
    return kinds[0], kinds[1]
