"""What a trial changed of the machine itself: files of the kernel, and control groups that it left.

No namespace holds these. fanotify marks on the trial's own mounts see its writes and nobody else's.
"""

from __future__ import annotations

import os
import re
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from capadvise.kernel import libc
from capadvise.kernel.posture.mounts import parse_mounts

_WATCHED = frozenset(
    [
        *("proc", "sysfs", "cgroup", "cgroup2", "debugfs", "securityfs", "configfs", "efivarfs"),
        *("binfmt_misc", "selinuxfs"),
    ]
)
_OWN = re.compile(
    r"/proc/(\d+|sys/net|sys/fs/mqueue|sys/kernel/(hostname|domainname|shm\w*|msg\w*|sem\w*))(/|$)"
    r"|.*/capadvise-\d"
)
"""Files of processes and of the trial's own namespaces, and our control groups."""
_EVENT = struct.Struct("=IBBHQii")
"""struct fanotify_event_metadata"""
_BEING_FILLED = 0.05
"""Seconds in which somebody puts a process into a control group that he has just made."""


class Settings:
    """Sees changes from now on. Without fanotify, only control groups."""

    def __init__(self, *, groups: bool) -> None:
        """``groups``: look for control groups, too, which takes a while."""
        mounts = parse_mounts(Path("/proc/self/mountinfo").read_text(errors="surrogateescape"))
        self._before = set(self._groups()) if groups else None
        self._written: dict[str, None] = {}
        self._watch: int | None = None
        with suppress(OSError):
            self._watch = libc.fanotify_init()
            for mount in mounts:
                if mount.type in _WATCHED:
                    with suppress(OSError):  # another mount hides it
                        libc.fanotify_modifications(self._watch, mount.target)

    def changed(self) -> list[str]:
        """The files that were written to, and the control groups that were left."""
        self._written |= dict.fromkeys(path for path in self._events() if not _OWN.match(path))
        left = self._left()
        if left:
            time.sleep(_BEING_FILLED)
            left &= self._left()
        return [*self._written, *sorted(left)]

    def _events(self) -> Iterator[str]:
        while self._watch is not None:
            try:
                data = os.read(self._watch, 1 << 16)
            except BlockingIOError:
                return
            except OSError:  # the file of the next event is gone, with the control group it was in
                continue
            while data:
                length, *_, fd, _ = _EVENT.unpack_from(data)
                data = data[length:]
                if fd >= 0:
                    yield os.readlink(f"/proc/self/fd/{fd}")
                    os.close(fd)

    def _left(self) -> set[str]:
        new = set[str]() if self._before is None else set(self._groups()) - self._before
        return {group for group in new if not _OWN.match(group) and _is_empty(group)}

    def _groups(self) -> Iterator[str]:
        for folder, _, _ in os.walk("/sys/fs/cgroup"):
            yield folder


def _is_empty(group: str) -> bool:
    with suppress(OSError), open(f"{group}/cgroup.procs") as file:
        return not file.read(1)
    return os.path.isdir(group)  # in the tmpfs that holds the hierarchies of version 1
