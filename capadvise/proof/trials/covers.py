"""Folders that a trial sees as they are, and writes to without changing them.

An overlay is mounted over each, with a scratch folder as its upper layer: nothing is copied but
what is written to, whatever the size. What overlayfs does itself, it asks for with the credentials
of who mounted it: the judgement knows these checks by their frames (``ovl_*``). Where a file system
allows no overlay, the folder is copied, up to a limit; beyond it the trial is refused.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from capadvise.kernel import libc, uapi
from capadvise.kernel.mounting import copy_folder, path_of, put_overlay
from capadvise.kernel.posture.mounts import Mount, parse_mounts

_KERNELS_OWN = frozenset(
    [
        *("proc", "sysfs", "devtmpfs", "devpts", "mqueue", "cgroup", "cgroup2", "bpf", "tracefs"),
        *("debugfs", "securityfs", "configfs", "pstore", "efivarfs", "hugetlbfs", "binfmt_misc"),
        *("autofs", "fusectl", "rpc_pipefs", "nsfs", "selinuxfs"),
    ]
)
"""What is in there is no file."""


class Covers:
    """All the covers of one mount namespace, which must be private."""

    def __init__(self, scratch: Path, keep: Path) -> None:
        """``scratch``: where upper layers are made; ``keep``: our own folder, which must stay as it
        is when what it lies in is covered."""
        self._scratch, self._keep = scratch, keep
        self._count = 0
        self._mounts = {mount.target: mount for mount in _mounts()}

    def cover(self, folder: str, *, always: str | None = None) -> None:
        """Cover a folder, and the file systems that are mounted below it. Those of container
        engines are left out, but for the one that holds ``always``.

        Raises CannotCover.
        """
        folder = os.path.realpath(folder)
        below = sorted(
            target
            for target, mount in self._mounts.items()
            if target.startswith(folder.rstrip("/") + "/") and _wanted(mount, always)
        )
        held = [(target, fd) for target in below if (fd := _opened(target)) is not None]
        kept = _opened(str(self._keep)) if self._keep.is_relative_to(folder) else None
        lower = os.open(folder, os.O_PATH)
        try:
            self.put(lower, folder, in_memory=kept is not None)
            for target, fd in held:
                self._restore(target, fd)
            if kept is not None:
                _bind(kept, str(self._keep))
        finally:
            for fd in (lower, *(fd for _, fd in held), *([] if kept is None else [kept])):
                os.close(fd)

    def _restore(self, target: str, fd: int) -> None:
        """What was mounted below a folder that is covered now."""
        mount = self._mounts[target]
        with suppress(FileNotFoundError):  # in a file system that is left out itself
            if mount.type in _KERNELS_OWN or mount.read_only:
                _bind(fd, target)
            else:
                self.put(fd, target, in_memory=False)

    def put(self, lower: int, target: str, *, in_memory: bool) -> None:
        """Mount a cover of an open folder at a place; a file is copied there."""
        status = os.fstat(lower)
        if not stat.S_ISDIR(status.st_mode):
            if stat.S_ISREG(status.st_mode):  # /etc/resolv.conf of a container
                _copy_content(lower, target)
            return
        self._count += 1
        layer = self._scratch / f"layer{self._count}"
        layer.mkdir(mode=0o700)
        if in_memory:  # an upper layer may not lie in its own lower one
            libc.mount("cover", str(layer), 0, "tmpfs", "mode=0700")
        if not put_overlay(lower, layer, target):
            copy_folder(lower, layer / "copy", target)
            libc.mount(str(layer / "copy"), target, uapi.MS_BIND)


def _wanted(mount: Mount, always: str | None) -> bool:
    engines = (
        mount.type == "overlay" or "/docker/" in mount.target or "/containers/" in mount.target
    )
    inside = always is not None and (always + "/").startswith(mount.target.rstrip("/") + "/")
    return inside or not engines


def _mounts() -> Iterable[Mount]:
    return parse_mounts(Path("/proc/self/mountinfo").read_text(errors="surrogateescape"))


def _opened(path: str) -> int | None:
    """None: it is hidden by another mount, or not for root (FUSE)."""
    try:
        return os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return None


def _bind(fd: int, target: str) -> None:
    libc.mount(path_of(fd), target, uapi.MS_BIND)


def _copy_content(source: int, target: str) -> None:
    with open(path_of(source), "rb") as old, open(target, "wb") as new:
        shutil.copyfileobj(old, new)
