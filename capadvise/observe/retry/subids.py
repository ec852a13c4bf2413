"""Which ids a user may map into a user namespace of their own: user_namespaces(7), subuid(5)."""

from __future__ import annotations

import shutil
from pathlib import Path

Ranges = list[list[int]]
"""(first id inside, first id outside, how many), as ``newuidmap`` takes them."""


def subordinate(text: str, name: str, number: int) -> tuple[int, int] | None:
    """The first range of ``/etc/subuid`` for a user: (first id, how many); None without one."""
    for line in text.splitlines():
        fields = line.strip().split(":")
        if len(fields) == 3 and fields[0] in (name, str(number)) and fields[1].isdecimal():
            count = int(fields[2]) if fields[2].isdecimal() else 0
            if count > 0:
                return int(fields[1]), count
    return None


def maps(name: str, uid: int, gid: int, etc: Path = Path("/etc")) -> dict[str, Ranges]:
    """The user as root of the new namespace, and the subordinate ids above it, where there are any
    and the programs that may map them. One range alone: nobody else can be become there."""
    ranges = {"uid": [[0, uid, 1]], "gid": [[0, gid, 1]]}
    for kind in ranges:
        if not shutil.which(f"new{kind}map"):
            continue
        try:
            text = (etc / f"sub{kind}").read_text(encoding="utf-8")
        except OSError:
            continue
        more = subordinate(text, name, uid)
        if more is not None:
            ranges[kind].append([1, *more])
    return ranges
