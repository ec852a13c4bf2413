"""Making a control group for the target.

It is of version 2, whose one hierarchy is there beside those of version 1, too. It is below our own
group, so that the target may use what it could use without us. Where none can be made (no root, a
container, a file system that may not be written), the target stays in ours: then a process that
another pid namespace adopted is not found.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from capadvise.kernel import libc, procfs
from capadvise.kernel.process_tree import OwnCgroup

_PREFIX = "capadvise-"
_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


@contextlib.contextmanager
def made() -> Iterator[OwnCgroup | None]:
    """A group for one target, ended and removed with the block; None where there cannot be one."""
    try:
        parent = _open_own()
    except OSError:
        yield None
        return
    try:
        cgroup = _make(parent)
        try:
            yield cgroup
        finally:
            if cgroup is not None:
                cgroup.end()
                os.close(cgroup.events)
    finally:
        os.close(parent)


def _make(parent: int) -> OwnCgroup | None:
    # A pid means a process only in its own namespace, and a group can be seen from several.
    namespace = f"-{os.stat('/proc/self/ns/pid').st_ino}"
    for left in procfs.abandoned(Path(f"/proc/self/fd/{parent}"), _PREFIX):
        if left.name.endswith(namespace):
            with contextlib.suppress(OSError):
                group = OwnCgroup(parent, left.name)
                group.end()
                os.close(group.events)
    name = f"{_PREFIX}{procfs.mark()}{namespace}"
    try:
        os.mkdir(name, 0o755, dir_fd=parent)
        return OwnCgroup(parent, name)
    except OSError:
        return None


def _open_own() -> int:
    """The folder of the group that we are in."""
    lines = procfs.cgroup(os.getpid()).splitlines()
    place = next((line[4:] for line in lines if line.startswith("0::/")), None)
    if place is None:
        raise FileNotFoundError("no control groups of version 2")
    if (point := _mount_point()) is not None:
        return os.open(f"{point}/{place}", _FOLDER)
    mount = libc.mount_detached("cgroup2")  # only where there is none: it would set its options
    try:
        return os.open(place or ".", _FOLDER, dir_fd=mount)
    finally:
        os.close(mount)


def _mount_point() -> str | None:
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            mount, _, kind = line.partition(" - ")
            fields = mount.split()
            if kind.startswith("cgroup2 ") and fields[3] == "/":
                return fields[4]
    return None
