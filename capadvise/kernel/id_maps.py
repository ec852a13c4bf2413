"""Who a process runs as, through the maps of its user namespace. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from capadvise.model.posture import Sharing, User

NOBODY = 65534
"""How the kernel shows an id that a user namespace does not have: /proc/sys/kernel/overflowuid."""


def parse_user(
    status: Mapping[str, str], uid_map: str, gid_map: str, sharing: Sharing, *, ours: bool
) -> User | None:
    """``/proc/PID/status`` shows ids in the reader's user namespace, the maps lead to it; ``ours``:
    it is the reader's own namespace, and the maps lead to its parent (user_namespaces(7))."""
    try:
        seen = int(status["Uid"].split()[1])
        gid = int(status["Gid"].split()[1])
        groups = tuple(map(int, status.get("Groups", "").split()))
    except (KeyError, IndexError, ValueError):
        return None
    uids, gids = parse_map(uid_map), parse_map(gid_map)
    rootless = None
    if sharing is not Sharing.UNKNOWN and uids:
        rootless = sharing is Sharing.OWN and translated(0, uids) != 0
    if ours:
        return User(seen, gid, groups, translated(seen, uids), rootless)
    back, gids_back = inverse(uids), inverse(gids)
    return User(
        inside(seen, back),
        inside(gid, gids_back),
        tuple(inside(group, gids_back) for group in groups),
        seen,
        rootless,
    )


def inverse(rows: Map) -> Map:
    """The way back."""
    return [(other, first, count) for first, other, count in rows]


def inside(number: int, rows: Map) -> int:
    """What an id becomes; who the map does not have is nobody."""
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
    """What an id becomes; None where the map does not have it."""
    for first, other, count in rows:
        if first <= number < first + count:
            return other + number - first
    return None
