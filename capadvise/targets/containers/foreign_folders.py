"""Folders of the host that a container's user may not write to, as their owner and mode say."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from capadvise.kernel import procfs
from capadvise.model.recording import ForeignFolder
from capadvise.targets.client.container import Container


def foreign_folders(
    container: Container, user: tuple[int, int], pid: int
) -> tuple[ForeignFolder, ...]:
    """None of root's containers, and none where users have other numbers on the host. ``pid``: of
    its first process, which may be gone."""
    own = procfs.namespace(pid, "user")
    if user[0] == 0 or own not in (None, procfs.namespace(os.getpid(), "user")):
        return ()
    return tuple(_foreign(container, user))


def _foreign(container: Container, user: tuple[int, int]) -> Iterator[ForeignFolder]:
    uid, gid = user
    added = (container.raw.get("HostConfig") or {}).get("GroupAdd") or ()
    groups = {gid, *(int(one) for one in added if str(one).isdecimal())}
    for mount in container.mounts:
        if not mount.writable or mount.kind not in ("bind", "volume"):
            continue
        try:
            status = os.stat(mount.source)
        except OSError:
            continue
        if stat.S_ISDIR(status.st_mode) and not _may_write(status, uid, groups):
            owner = f"{status.st_uid}:{status.st_gid}"
            yield ForeignFolder(mount.destination, mount.source, owner, f"{uid}:{gid}")


def _may_write(status: os.stat_result, uid: int, groups: set[int]) -> bool:
    """As the kernel decides without capabilities: of the three, the first that fits."""
    if status.st_uid == uid:
        return bool(status.st_mode & stat.S_IWUSR)
    if status.st_gid in groups:
        return bool(status.st_mode & stat.S_IWGRP)
    return bool(status.st_mode & stat.S_IWOTH)
