"""The mounts of a process, and which of them expose the host.

``/proc/PID/mountinfo`` is described in proc_pid_mountinfo(5).
"""

import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

from capadvise.model.posture import Exposed, Root

_ESCAPE = r"\\([0-7]{3})"
_SOCKETS = frozenset(
    [
        *("docker.sock", "podman.sock", "containerd.sock", "crio.sock", "cri-dockerd.sock"),
        *("buildkitd.sock", "dockershim.sock"),
    ]
)
_SENSITIVE = (
    *("/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib64", "/opt", "/proc", "/root", "/run"),
    *("/sbin", "/srv", "/sys", "/usr", "/var", "/var/lib", "/var/log", "/var/run", "/var/spool"),
    *("/var/lib/docker", "/var/lib/containerd", "/var/lib/containers", "/var/lib/kubelet"),
)
"""Folders of the host that hold more than one service's data."""
_KERNEL_TREES = {"proc": "proc", "sysfs": "sys", "debugfs": "debugfs", "tracefs": "tracefs"}
_MOST_NODES = 12
_ORDINARY_NODES = frozenset(
    [
        *("null", "zero", "full", "random", "urandom", "tty", "console", "ptmx", "pts", "shm"),
        *("mqueue", "fd", "stdin", "stdout", "stderr", "core", "log", "initctl"),
    ]
)
"""The nodes that every container has below /dev: the default devices of the OCI runtime
specification."""


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of mountinfo."""

    device: str
    """``major:minor``"""
    root: str
    """The folder of the file system that is shown."""
    target: str
    type: str
    source: str
    read_only: bool
    """By the mount or by the file system."""
    options: str
    """Those of the file system."""


@lru_cache(maxsize=4)  # ours are most often the target's, and the machine's, too
def parse_mounts(text: str) -> tuple[Mount, ...]:
    """``/proc/PID/mountinfo``, in order; lines that are not understood are left out."""
    mounts = []
    for line in text.split("\n"):  # no other character is escaped that ends lines elsewhere
        before, _, after = line.partition(" - ")
        fields, rest = before.split(" "), after.split(" ")
        if len(fields) < 6 or len(rest) < 2:
            continue
        options = rest[2] if len(rest) > 2 else ""
        read_only = "ro" in fields[5].split(",") or "ro" in options.split(",")
        root, target, source = map(_unescaped, (fields[3], fields[4], rest[1]))
        mounts.append(Mount(fields[2], root, target, rest[0], source, read_only, options))
    return tuple(mounts)


def mount_points(folder: Path) -> list[str]:
    """Ours below a folder, in the order of mounting."""
    text = Path("/proc/self/mountinfo").read_text(errors="surrogateescape")
    return [one.target for one in parse_mounts(text) if one.target.startswith(f"{folder}/")]


def _unescaped(text: str) -> str:
    if "\\" not in text:
        return text
    return re.sub(_ESCAPE, lambda match: chr(int(match[1], 8)), text)


def layers(mount: Mount) -> int | None:
    """How many lower layers an overlay has; None for other file systems."""
    if mount.type != "overlay":
        return None
    count = 0
    for option in re.split(r"(?<!\\),", mount.options):
        name, _, value = option.partition("=")
        if name == "lowerdir":
            count += len(re.split(r"(?<!\\):+", value))
        elif name in ("lowerdir+", "datadir+"):
            count += 1
    return count or None


def cgroup_writable(mounts: Sequence[Mount]) -> bool:
    """True if a cgroup hierarchy is mounted for writing."""
    return any(m.type in ("cgroup", "cgroup2") and not m.read_only for m in mounts)


def root_of(
    mounts: Sequence[Mount], inside: Path, *, host: bool | None, of_host: Sequence[Mount]
) -> Root | None:
    """The root file system, and the exposed parts of the host.

    ``inside`` leads to it (``/proc/PID/root``); ``host``: it is the machine's own, and there is
    nothing to let in; ``of_host``: what is mounted on the machine, empty where that is not seen.
    """
    root = next((mount for mount in reversed(mounts) if mount.target == "/"), None)
    if root is None:
        return None
    exposures = [] if host else [*_exposed(mounts, inside, of_host), *_nodes(inside)]
    systems = tuple(f"{mount.target}/" for mount in exposures if mount.kind == "host-root")
    exposed = (mount for mount in exposures if not mount.target.startswith(systems))
    return Root(root.type, root.read_only, layers(root), host, tuple(dict.fromkeys(exposed)))


_NO_IDMAP = frozenset(["nfs", "nfs4", "cifs", "smb3", "9p", "afs"])
"""File systems without FS_ALLOW_IDMAP (Linux 6.18) that volumes are on. FUSE has it since 6.12; its
servers decide."""


def _exposed(mounts: Sequence[Mount], inside: Path, of_host: Sequence[Mount]) -> Iterator[Exposed]:
    covered = {mount.target for mount in mounts if mount.read_only}
    for mount in mounts:
        if mount.target == "/":
            continue
        if mount.type in _NO_IDMAP:
            yield Exposed("no-idmap", mount.target, not mount.read_only, mount.type)
        if kind := _KERNEL_TREES.get(mount.type):
            # Runtimes bind parts of /proc over themselves, read-only. A mount over /proc/sys covers
            # the settings of the machine.
            harmless = mount.read_only or (mount.target == "/proc" and "/proc/sys" in covered)
            if mount.root == "/" and not harmless:
                yield Exposed(kind, mount.target, True, mount.source)
            continue
        path = host_path(mount, of_host)
        if path is None and not of_host:
            path = _seen_from_inside(mount, inside)
        if path is not None:
            yield from _exposed_path(mount, path, inside)


def _seen_from_inside(mount: Mount, inside: Path) -> str | None:
    """The folder of the host; ``/`` for one that looks like a whole system."""
    whole = mount.root == "/" and mount.type != "overlay"
    if whole and _is_system(inside, mount.target):
        return "/"
    return mount.root if mount.root != "/" else None


def _exposed_path(mount: Mount, path: str, inside: Path) -> Iterator[Exposed]:
    kind = _kind(mount, path)
    if not kind:
        return
    # A read-only mount keeps nobody from connecting to a socket.
    yield Exposed(kind, mount.target, kind == "engine-socket" or not mount.read_only, path)
    if kind == "host-folder":
        for socket in sorted(_sockets(inside / mount.target.lstrip("/"))):
            yield Exposed("engine-socket", f"{mount.target}/{socket}", True, f"{path}/{socket}")


def host_path(mount: Mount, of_host: Sequence[Mount]) -> str | None:
    """The path of a mount's folder on the machine itself; None if it is not visible there."""
    for other in of_host:
        top = PurePosixPath(other.root)
        if other.device == mount.device and PurePosixPath(mount.root).is_relative_to(top):
            return str(PurePosixPath(other.target) / PurePosixPath(mount.root).relative_to(top))
    return None


def _kind(mount: Mount, path: str) -> str | None:
    if PurePosixPath(path).name in _SOCKETS:
        return "engine-socket"
    if mount.type == "devtmpfs":
        ordinary = (
            PurePosixPath(mount.root).name in _ORDINARY_NODES
        )  # bound one by one, as masks too
        return "devices" if mount.root == "/" else None if ordinary else "device"
    if path == "/":
        return "host-root"
    return "host-folder" if path in _SENSITIVE else None


def _sockets(folder: Path) -> Iterator[str]:
    for name in _SOCKETS:
        try:
            if stat.S_ISSOCK(os.lstat(folder / name).st_mode):
                yield name
        except OSError:
            continue


def _is_system(inside: Path, target: str) -> bool:
    folder = inside / target.lstrip("/")
    return all(os.path.isdir(folder / name) for name in ("etc", "usr", "var"))


def _nodes(inside: Path) -> Iterator[Exposed]:
    """The device nodes below /dev that not every container has; very many are summed up as one."""
    try:
        entries = sorted(os.scandir(inside / "dev"), key=lambda entry: entry.name)
    except OSError:
        return
    exposures = []
    for entry in entries[:4096]:
        if entry.name in _ORDINARY_NODES:
            continue
        try:
            status = entry.stat(follow_symlinks=False)
        except OSError:
            continue
        block, char = stat.S_ISBLK(status.st_mode), stat.S_ISCHR(status.st_mode)
        if (block or char) and status.st_rdev:  # 0:0 is a whiteout of overlayfs
            number = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
            source = f"{'block' if block else 'character'} device {number}"
            exposures.append(Exposed("device", f"/dev/{entry.name}", True, source))
    if len(exposures) <= _MOST_NODES:
        yield from exposures
    else:
        blocks = [node.target for node in exposures if node.source.startswith("block")]
        source = f"{len(exposures)} device nodes" + (f", {blocks[-1]} too" if blocks else "")
        yield Exposed("devices", "/dev", True, source)
