"""Isolates a trial from the machine: own namespaces, and covers over the folders that programs
write to.

A cover is an overlay with a scratch folder as its upper layer: only what is written to is copied,
whatever the size. overlayfs makes checks with the credentials of whoever mounted it; the judgement
knows these by their frames (``ovl_*``). A folder whose file system allows no overlay is copied, up
to a limit; beyond it the trial is refused.

A user namespace maps ids one to one, so that files have the owners that idmapped volumes would show
there; ids from ``USUAL_IDS`` on are not mapped, and no capability counts for the host.
"""

import fcntl
import os
import shutil
import socket
import stat
import struct
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from capadvise.judgement.user_namespace import USUAL_IDS
from capadvise.kernel import libc, uapi
from capadvise.kernel.mounting import (
    CannotCover,
    copy_folder,
    make_mounts_private,
    path_of,
    put_overlay,
)
from capadvise.kernel.posture.mounts import Mount, parse_mounts
from capadvise.kernel.procfs import available_memory
from capadvise.model import clone_flags
from capadvise.proof.trials.left import OwnFolder, own_folder

DECIDING_SYSCTLS = ("net.ipv4.ip_unprivileged_port_start", "net.ipv4.ping_group_range")
"""A new network namespace resets them, and needs depend on them."""
_NOT_COVERED = ("/proc", "/run", "/sys")
_TMP = "/tmp"
_EMPTIED = {"/run": "0755", "/dev/shm": "1777"}
_LEAST_ROOM = 64 << 10
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1
_KERNELS_OWN = frozenset(
    [
        *("proc", "sysfs", "devpts", "mqueue", "cgroup", "cgroup2", "bpf", "tracefs"),
        *("debugfs", "securityfs", "configfs", "pstore", "efivarfs", "hugetlbfs", "binfmt_misc"),
        *("autofs", "fusectl", "rpc_pipefs", "nsfs", "selinuxfs"),
    ]
)
"""File systems of the kernel, which hold no files on disk."""
_KINDS = {
    "net": clone_flags.CLONE_NEWNET,
    "uts": clone_flags.CLONE_NEWUTS,
    "ipc": clone_flags.CLONE_NEWIPC,
    "mnt": clone_flags.CLONE_NEWNS,
}


def isolate(
    kind: str,
    top: Path,
    fresh: list[str],
    cwd: str | None,
    *,
    in_place: bool,
    memory: int,
    userns: bool,
    shared: list[str],
) -> tuple[str | None, list[OwnFolder]]:
    """Enter new mount, network, UTS and IPC namespaces, and cover the folders that programs write
    to: all that is on disk. ``memory``: bytes for its scratch directory in
    memory; 0 if it is on disk. With ``userns``, the namespaces belong to a new user namespace,
    whose path is returned. ``shared``: sockets that stay within reach. Also returned: the places
    that hold what the trial leaves. Raises OSError and CannotCover."""
    if kind in ("none", "container", "unit"):  # their engine or manager isolates them
        return None, []
    sysctls = {name: Path("/proc/sys", *name.split(".")) for name in DECIDING_SYSCTLS}
    values = {name: path.read_text() for name, path in sysctls.items() if path.exists()}
    users = _enter_user_namespace() if userns else None
    if not userns:
        networked = clone_flags.CLONE_NEWNET | clone_flags.CLONE_NEWUTS | clone_flags.CLONE_NEWIPC
        libc.unshare(clone_flags.CLONE_NEWNS | networked)
    make_mounts_private()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as anything:
        request = struct.pack("16sh22x", b"lo", _IFF_UP)
        fcntl.ioctl(anything, _SIOCSIFFLAGS, request)
    kept = [(path, os.open(path, os.O_PATH)) for path in shared]
    places = [] if in_place else _cover(kind, top, fresh, cwd, kept)
    if memory and cwd is None:  # its content is thrown away: no need to wait for a disk
        libc.mount("scratch", str(top / "w"), 0, "tmpfs", f"mode=0755,size={memory}")
    if kind == "command":
        for name, value in values.items():
            sysctls[name].write_text(value)
    if cwd is None:
        places += [own_folder(str(top / name), str(top / name)) for name in ("w", "home")]
    return users, places


def file_systems() -> dict[str, str]:
    """The writable file systems with files: by device, the place of the topmost mount."""
    places = dict[str, str]()
    for mount in _mounts():
        if not (mount.read_only or mount.type in _KERNELS_OWN):
            places.setdefault(mount.device, mount.target)
    return places


def _covered(fresh: list[str], here: str | None, emptied: list[str]) -> list[str]:
    """The folders that get a layer of the trial's own, each once."""
    folders = [*_all_on_disk(), *fresh]
    if here is None or here in ("/", _TMP):
        pass
    elif _within(here, _TMP):  # first: the layer over /tmp is in memory, and this one is not
        folders.insert(0, here)
    elif not any(_within(here, folder) for folder in (*folders, *emptied)):
        folders.append(here)
    return list(dict.fromkeys(os.path.realpath(folder) for folder in folders))


def _cover(
    kind: str, top: Path, fresh: list[str], cwd: str | None, shared: list[tuple[str, int]]
) -> list[OwnFolder]:
    """Put the covers, and return them. ``shared``: sockets, opened before."""
    scratch = top / "layers"
    scratch.mkdir(mode=0o700)
    covers = Covers(scratch, keep=top)
    here = None if cwd is None else os.path.realpath(cwd)
    emptied = [folder for folder in _EMPTIED if here and _within(here, folder)]
    hold = os.open(here, os.O_PATH) if here and emptied else None
    for folder in _covered(fresh, here, emptied):
        if os.path.isdir(folder):
            covers.cover(folder, always=here)
    for folder, mode in _EMPTIED.items():
        libc.mount("empty", folder, 0, "tmpfs", f"mode={mode}")
        covers.places.append(own_folder(folder, folder))
    os.mkdir("/run/lock")
    os.chmod("/run/lock", 0o1777)
    if hold is not None and here is not None:  # its working directory is not emptied
        os.makedirs(here, exist_ok=True)
        covers.put(hold, here, in_memory=False)
        os.close(hold)
    for path, fd in shared:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        Path(path).touch()
        _bind(fd, path)
        os.close(fd)
    if kind == "command":  # no cover can be mounted over "/" itself
        flags = os.statvfs("/").f_flag & uapi.MS_ACCESS
        libc.mount(None, "/", uapi.MS_REMOUNT | uapi.MS_BIND | uapi.MS_RDONLY | flags)
    return covers.places


def _all_on_disk() -> list[str]:
    names = sorted(os.listdir("/"))
    folders = [f"/{name}" for name in names if not os.path.islink(f"/{name}")]
    return [folder for folder in folders if os.path.isdir(folder) and folder not in _NOT_COVERED]


def make_void(path: str) -> None:
    """Let a program file give no capabilities, in our own mount namespace, as after ``setcap
    -r``: a mount over it is nosuid."""
    with suppress(OSError):  # it is not there before the target makes it
        libc.mount(path, path, uapi.MS_BIND)
        flags = os.statvfs(path).f_flag & uapi.MS_ACCESS
        libc.mount(None, path, uapi.MS_REMOUNT | uapi.MS_BIND | uapi.MS_NOSUID | flags)


def _within(path: str, folder: str) -> bool:
    return (path + "/").startswith(folder + "/")


class Covers:
    """All the covers of one mount namespace, which must be private."""

    def __init__(self, scratch: Path, keep: Path) -> None:
        """``scratch``: the folder for upper layers; ``keep``: our own folder, which stays visible
        when a folder around it is covered."""
        self._scratch, self._keep = scratch, keep
        self._count = 0
        self.places: list[OwnFolder] = []
        self._mounts = {mount.target: mount for mount in _mounts()}
        self._made: set[str] = set()

    def cover(self, folder: str, *, always: str | None = None) -> None:
        """Cover a folder, and the file systems that are mounted below it, except those of container
        engines that do not hold ``always``.

        Raises CannotCover.
        """
        folder = os.path.realpath(folder)
        below = sorted(
            target
            for target in {*self._mounts, *self._made} - _EMPTIED.keys()
            if target.startswith(folder.rstrip("/") + "/")
            and (target in self._made or _wanted(self._mounts[target], always))
        )
        held = [(target, fd) for target in below if (fd := _opened(target)) is not None]
        kept = _opened(str(self._keep)) if self._keep.is_relative_to(folder) else None
        lower = os.open(folder, os.O_PATH)
        try:
            self.put(lower, folder, in_memory=kept is not None or folder == "/dev")
            if kept is not None:
                _bind(kept, str(self._keep))
            for target, fd in held:
                self._restore(target, fd)
        finally:
            for fd in (lower, *(fd for _, fd in held), *([] if kept is None else [kept])):
                os.close(fd)

    def _restore(self, target: str, fd: int) -> None:
        """Restore a mount below a folder that is covered now."""
        mount = self._mounts.get(target)
        with suppress(FileNotFoundError):  # in a file system that is left out itself
            if target in self._made or not mount or mount.type in _KERNELS_OWN or mount.read_only:
                _bind(fd, target)
            else:
                self.put(fd, target, in_memory=False)

    def put(self, lower: int, target: str, *, in_memory: bool) -> None:
        """Mount a cover of an open folder at a place; a file is copied there."""
        status = os.fstat(lower)
        if not stat.S_ISDIR(status.st_mode):
            if stat.S_ISREG(status.st_mode):  # /etc/resolv.conf of a container
                shutil.copyfile(path_of(lower), target)
            return
        self._count += 1
        self._made.add(target)
        layer = self._scratch / f"layer{self._count}"
        layer.mkdir(mode=0o700)
        if in_memory:  # an upper layer may not lie in its own lower one
            libc.mount("cover", str(layer), 0, "tmpfs", f"mode=0700,size={_room(lower)}")
        held = os.open(layer, os.O_PATH)  # the cover of a folder around it hides it
        if put_overlay(lower, layer, target):
            changed = "upper"
        else:
            changed = "copy"
            try:
                copy_folder(lower, layer / changed, target)
            except CannotCover:
                if target != _TMP:
                    raise
                (layer / changed / self._keep.name).mkdir()  # else it is empty
            libc.mount(str(layer / changed), target, uapi.MS_BIND)
        self.places.append(own_folder(target, f"{path_of(held)}/{changed}", lower))
        if in_memory:  # the cover holds it; where it is mounted, the cover may hide it for ever
            libc.unmount(path_of(held))
        os.close(held)


def _room(folder: int) -> int:
    """The bytes of memory for what is written to an open folder: as many as it has room for on the
    machine, and at most a quarter of what is free."""
    space = os.fstatvfs(folder)
    return max(_LEAST_ROOM, min(space.f_bavail * space.f_frsize, available_memory() // 4))


def _wanted(mount: Mount, always: str | None) -> bool:
    engines = (
        mount.type == "overlay" or "/docker/" in mount.target or "/containers/" in mount.target
    )
    inside = always is not None and (always + "/").startswith(mount.target.rstrip("/") + "/")
    return inside or not engines


def _mounts() -> Iterable[Mount]:
    return parse_mounts(Path("/proc/self/mountinfo").read_text(errors="surrogateescape"))


def _opened(path: str) -> int | None:
    """None: another mount hides it, or root may not open it (FUSE)."""
    try:
        return os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return None


def _bind(fd: int, target: str) -> None:
    libc.mount(path_of(fd), target, uapi.MS_BIND)


def _enter_user_namespace() -> str:
    """Make a user namespace with the others below it, and enter all but the user namespace. Returns
    the path by which the target enters that. Raises OSError."""
    (ready, report_ready), (proceed, let_proceed) = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(let_proceed)  # otherwise the child would not see its end
        _make_namespaces(report_ready, proceed)
    os.close(report_ready)
    os.close(proceed)
    try:
        _expect(ready, pid)
        for kind in ("uid", "gid"):
            Path(f"/proc/{pid}/{kind}_map").write_text(f"0 0 {USUAL_IDS}")
        os.write(let_proceed, b"m")
        _expect(ready, pid)
        users = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
        for name, flag in _KINDS.items():
            fd = os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC)
            libc.setns(fd, flag)
            os.close(fd)
    finally:
        os.close(let_proceed)  # the child ends
        os.close(ready)
        os.waitpid(pid, 0)
    return f"/proc/{os.getpid()}/fd/{users}"


def _make_namespaces(report_ready: int, proceed: int) -> None:
    """Make the namespaces in the child, and stay until they were opened."""
    try:
        libc.unshare(clone_flags.CLONE_NEWUSER)
        os.write(report_ready, b"u")
        if os.read(proceed, 1):
            libc.unshare(sum(_KINDS.values()))
            os.write(report_ready, b"n")
            os.read(proceed, 1)
    finally:
        os._exit(0)


def _expect(ready: int, pid: int) -> None:
    if not os.read(ready, 1):
        raise OSError(0, "a user namespace could not be made")
