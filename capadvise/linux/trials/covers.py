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
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from capadvise.errors import CapadviseError
from capadvise.linux.kernel import libc, uapi
from capadvise.linux.kernel.snapshot import LARGEST_COPY_KB
from capadvise.linux.posture.mounts import Mount, parse_mounts

_KERNELS_OWN = frozenset(
    [
        *("proc", "sysfs", "devtmpfs", "devpts", "mqueue", "cgroup", "cgroup2", "bpf", "tracefs"),
        *("debugfs", "securityfs", "configfs", "pstore", "efivarfs", "hugetlbfs", "binfmt_misc"),
        *("autofs", "fusectl", "rpc_pipefs", "nsfs", "selinuxfs"),
    ]
)
"""What is in there is no file."""
_OPTIONS = ("redirect_dir=on,metacopy=on,index=off,volatile", "index=off", "")
"""Tried in this order: with the first, a chown copies no content and a folder can be renamed."""


class CannotCover(CapadviseError):
    """A folder can be neither overlaid nor copied, and trials do not run on the real one."""


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
        upper, work = layer / "upper", layer / "work"
        upper.mkdir()
        work.mkdir()
        _same_root(lower, upper, status)
        if not _overlaid(lower, upper, work, target):
            _copied(lower, upper, target)


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


def _path(fd: int) -> str:
    return f"/proc/self/fd/{fd}"


def _bind(fd: int, target: str) -> None:
    libc.mount(_path(fd), target, uapi.MS_BIND)


def _overlaid(lower: int, upper: Path, work: Path, target: str) -> bool:
    layers = f"lowerdir={_path(lower)},upperdir={upper},workdir={work}"
    flags = os.fstatvfs(lower).f_flag & uapi.MS_ACCESS
    for options in _OPTIONS:
        try:
            libc.mount("cover", target, flags, "overlay", ",".join(filter(None, (layers, options))))
            return True
        except OSError:
            continue
    return False


def _copied(lower: int, copy: Path, target: str) -> None:
    size = subprocess.run(
        ["du", "-skx", f"{_path(lower)}/."], capture_output=True, text=True, pass_fds=[lower]
    )
    if int((size.stdout.split() or ["0"])[0]) > LARGEST_COPY_KB:
        raise CannotCover(
            f"{target}: its file system allows no overlay, and with more than "
            f"{LARGEST_COPY_KB >> 10} MB it is too large to be copied for each trial",
            hint="start the program in another folder, or let trials write to it: --in-place",
        )
    words = ["cp", "-a", f"{_path(lower)}/.", str(copy)]
    done = subprocess.run(words, capture_output=True, text=True, pass_fds=[lower])
    if done.returncode:  # a file that vanished meanwhile makes the first copy fail
        done = subprocess.run(words, capture_output=True, text=True, pass_fds=[lower])
    if done.returncode:
        raise CannotCover(f"{target}: cannot be copied: {done.stderr.strip()[-300:]}")
    libc.mount(str(copy), target, uapi.MS_BIND)


def _same_root(lower: int, upper: Path, status: os.stat_result) -> None:
    """The root of an overlay is that of its upper layer."""
    os.chown(upper, status.st_uid, status.st_gid)
    os.chmod(upper, stat.S_IMODE(status.st_mode))
    for name in os.listxattr(_path(lower)):
        if not name.startswith("trusted.overlay."):
            with suppress(OSError):
                os.setxattr(upper, name, os.getxattr(_path(lower), name))


def _copy_content(source: int, target: str) -> None:
    with open(_path(source), "rb") as old, open(target, "wb") as new:
        shutil.copyfileobj(old, new)
