"""Reading what restrains a process, from outside or from inside a container.

A field is None if it cannot be read, this kernel lacks it, or the process ends during the reading.
Only a process that does not exist at all is an OSError.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from capadvise.kernel import libc, procfs, user_namespaces
from capadvise.kernel.posture import mounts
from capadvise.kernel.posture.mounts import Mount, cgroup_writable
from capadvise.kernel.posture.own_state import SYSCTLS, OwnState, inode_of, own_state, text_of
from capadvise.model import clone_flags
from capadvise.model.posture import NAMESPACES, Cgroup, Mac, Posture, Root, Seccomp, Sharing, User

SECUREBITS = {
    0: "NOROOT",
    1: "NOROOT_LOCKED",
    2: "NO_SETUID_FIXUP",
    3: "NO_SETUID_FIXUP_LOCKED",
    4: "KEEP_CAPS",
    5: "KEEP_CAPS_LOCKED",
    6: "NO_CAP_AMBIENT_RAISE",
    7: "NO_CAP_AMBIENT_RAISE_LOCKED",
}
"""linux/securebits.h"""
_FIRST_DYNAMIC = 0xF0000000
"""PROC_DYNAMIC_FIRST of fs/proc/generic.c: lower inode numbers are those of initial namespaces.
The mount and network namespaces have such a number since Linux 6.18, the others always."""
Mounts = tuple[mounts.Mount, ...]
_SECCOMP_MODES = {"0": "off", "1": "strict", "2": "filter"}


@dataclass(frozen=True, slots=True)
class Machine:
    """The facts that are the same for all processes, read once."""

    proc: Path
    user: int | None
    """Our own user namespace."""
    initial: Mapping[str, int | None]
    """The machine's mount and network namespaces, where they can be read."""
    mounts: Mounts
    """Ours."""
    of_host: Mounts
    """The machine's; empty where we do not see them."""
    root: tuple[int, int] | None
    """The root folder of the machine: device and inode."""
    lsms: tuple[str, ...]
    enforcing: bool | None
    """True if SELinux enforces."""
    sandbox: str | None
    namespaces: tuple[str, ...]
    """Those that the kernel has."""
    limits: Limits = field(default_factory=dict)
    known: dict[tuple[object, object], Mounts] = field(default_factory=dict)
    """Mounts by mount namespace and root: most processes share them."""

    @classmethod
    def read(cls, proc: Path = procfs.PROC) -> Machine:
        """Look at the machine."""
        outside = inode_of(proc / "self/ns/pid") == procfs.INITIAL_PID_NAMESPACE
        thread = proc / "2/ns"  # a thread of the kernel, where process 2 is one
        known = outside and procfs.comm(2, proc) == "kthreadd"
        initial = {name: inode_of(thread / name) if known else None for name in ("mnt", "net")}
        candidates = [proc / "1"] if outside else []
        if outside and _sharing("mnt", inode_of(proc / "self/ns/mnt"), initial) is Sharing.HOST:
            candidates.append(proc / "self")
        # Process 1 may hold more than we do: then it does not let us look, root or not.
        first = next((path for path in candidates if _identity(path / "root")), None)
        return cls(
            proc,
            user=inode_of(proc / "self/ns/user"),
            initial=initial,
            mounts=mounts.parse_mounts(text_of(proc / "self/mountinfo")),
            of_host=mounts.parse_mounts(text_of(first / "mountinfo")) if first else (),
            root=None if first is None else _identity(first / "root"),
            lsms=procfs.active_lsms(),
            enforcing=_flag(Path("/sys/fs/selinux/enforce")),
            sandbox=sandbox_inside(
                text_of(proc / "version"),
                text_of(proc / "cmdline"),
                text_of(proc / "self/mountinfo"),
            ),
            namespaces=tuple(n for n in NAMESPACES if (proc / "self/ns" / n).is_symlink()),
        )


def posture_at_exec(own: OwnState, sysctls: dict[str, str]) -> Posture:
    """The posture of a child of ours that was about to exec: all else it shared with us.
    ``sysctls``: as they were then."""
    machine = Machine.read()
    posture = _posture(machine.proc / "self", own, machine, sysctls=False)
    return replace(posture, sysctls=sysctls, securebits=own_securebits())


def posture_of(pid: int, machine: Machine, *, sysctls: bool = True) -> Posture:
    """The posture of a process. Raises OSError if it is gone before anything was read."""
    folder = machine.proc / str(pid)
    posture = _posture(folder, own_state(folder), machine, sysctls=sysctls)
    return replace(posture, securebits=own_securebits()) if pid == os.getpid() else posture


def _posture(folder: Path, own: OwnState, machine: Machine, *, sysctls: bool) -> Posture:
    status = procfs.parse_status(own.status)
    inodes = {name: inode_of(folder / "ns" / name) for name in NAMESPACES} | {"user": own.users}
    shared = {name: _sharing(name, inode, machine.initial) for name, inode in inodes.items()}
    mounted = _mounts(folder, inodes["mnt"], machine)
    return Posture(
        sysctls=read_sysctls(folder / "ns/net", machine.proc) if sysctls else {},
        namespaces={
            name: sharing for name, sharing in shared.items() if name in machine.namespaces
        },
        no_new_privs={"0": False, "1": True}.get(status.get("NoNewPrivs", "")),
        seccomp=_seccomp(status),
        mac=_mac(folder, machine),
        cgroup=_cgroup(own.cgroup, mounted, machine),
        root=_root(folder, mounted, machine),
        user=parse_user(
            status,
            own.uid_map,
            own.gid_map,
            shared["user"],
            ours=inodes["user"] is not None and inodes["user"] == machine.user,
        ),
        sandbox=machine.sandbox
        or sandbox_outside(
            procfs.command_line(folder.name, machine.proc).decode(errors="backslashreplace")
        ),
    )


def read_sysctls(network: Path, proc: Path) -> dict[str, str]:
    """The settings in SYSCTLS. /proc/sys/net shows each thread its own network namespace: a thread
    of ours enters the other one. Without the capability for that (``own_caps``), ``nsenter`` is
    run; if that fails, too, those settings are missing."""
    values: dict[str, str] = {}

    def read() -> None:
        entered = inode_of(network) == inode_of(proc / "self/ns/net") or _enter(network)
        others = {} if entered else _settings_in(network, proc)
        for name in SYSCTLS:
            here = entered or not name.startswith("net.")
            value = procfs.sysctl(name, proc) if here else others.get(name)
            if value is not None:
                values[name] = " ".join(value.split())

    thread = threading.Thread(target=read)
    thread.start()
    thread.join()
    return values


def _enter(network: Path) -> bool:
    try:
        fd = os.open(network, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        libc.setns(fd, clone_flags.CLONE_NEWNET)
        return True
    except OSError:
        return False
    finally:
        os.close(fd)


def _settings_in(network: Path, proc: Path) -> dict[str, str]:
    """The settings of another network namespace, as a program of root's sees them."""
    import subprocess  # most targets share our network

    names = [name for name in SYSCTLS if name.startswith("net.")]
    files = [str(procfs.sysctl_file(name, proc)) for name in names]
    try:
        with open(network, "rb") as held:
            inside = f"--net=/proc/self/fd/{held.fileno()}"
            done = subprocess.run(
                ["nsenter", inside, "grep", "-H", "", *files],
                capture_output=True,
                text=True,
                pass_fds=[held.fileno()],
                timeout=5,
            )
    except (OSError, subprocess.SubprocessError):
        return {}
    lines = (line.partition(":") for line in done.stdout.splitlines())
    told = {path: value for path, _, value in lines}
    return {name: told[path] for name, path in zip(names, files, strict=True) if path in told}


def own_securebits() -> tuple[str, ...]:
    """The securebits of this process: prctl(2) shows those of no other."""
    bits = libc.securebits()
    return tuple(name for bit, name in SECUREBITS.items() if bits >> bit & 1)


def _sharing(name: str, inode: int | None, known: Mapping[str, int | None]) -> Sharing:
    if inode is None:
        return Sharing.UNKNOWN
    if inode < _FIRST_DYNAMIC:
        return Sharing.HOST
    if name not in known or _has_fixed_numbers():
        return Sharing.OWN
    initial = known[name]
    if initial is None:
        return Sharing.UNKNOWN
    return Sharing.HOST if inode == initial else Sharing.OWN


def _has_fixed_numbers() -> bool:
    version = re.match(r"(\d+)\.(\d+)", os.uname().release)
    return version is not None and (int(version[1]), int(version[2])) >= (6, 18)


def _seccomp(status: Mapping[str, str]) -> Seccomp | None:
    mode = _SECCOMP_MODES.get(status.get("Seccomp", ""))
    filters = status.get("Seccomp_filters", "")
    if mode is None:
        return None
    return Seccomp(mode, int(filters) if filters.isdecimal() else None)


def _mac(folder: Path, machine: Machine) -> Mac | None:
    for name in ("attr/apparmor/current", "attr/current"):
        text = text_of(folder / name)
        if values := parse_label(text, machine.lsms, machine.enforcing):
            return values
    return None


def _cgroup(listed: str, mounted: Mounts, machine: Machine) -> Cgroup | None:
    groups = parse_groups(listed)
    return cgroup_of(groups, mounted, machine.mounts, machine.limits) if groups else None


def _root(folder: Path, mounted: Mounts, machine: Machine) -> Root | None:
    identity = _identity(folder / "root")
    host = None if machine.root is None or identity is None else identity == machine.root
    return mounts.root_of(mounted, folder / "root", host=host, of_host=machine.of_host)


def _mounts(folder: Path, namespace: int | None, machine: Machine) -> Mounts:
    """Mountinfo shows what lies below the root of the process, so a chroot sees other lines."""
    key = (namespace, _identity(folder / "root"))
    if namespace is None or key not in machine.known:
        machine.known[key] = mounts.parse_mounts(text_of(folder / "mountinfo"))
    return machine.known[key]


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _flag(path: Path) -> bool | None:
    text = text_of(path).strip()
    return text == "1" if text else None


def sandbox_inside(version: str, command_line: str, mountinfo: str) -> str | None:
    """``gvisor`` or ``kata`` if the kernel that answers is that of such a sandbox.

    Sources: gVisor pkg/sentry (its fixed build date), Kata's agent and runtime (the unit that its
    guests boot, the tag of the folder that they share with the host).
    """
    if "-gvisor" in version or "Sun Jan 10 15:06:54 PST 2016" in version:
        return "gvisor"
    if "kata-containers.target" in command_line or " kataShared " in mountinfo:
        return "kata"
    return None


def sandbox_outside(command_line: str) -> str | None:
    """``gvisor`` or ``kata`` if a process of the host holds such a container."""
    program = command_line.partition("\0")[0].rpartition("/")[2]
    if program in ("runsc", "runsc-sandbox", "runsc-gofer"):
        return "gvisor"
    if program == "containerd-shim-kata-v2" or "/run/vc/vm/" in command_line:
        return "kata"
    return None


def sandbox_of_runtime(name: str) -> str | None:
    """The sandbox by an engine's name of the runtime: ``runsc``, ``io.containerd.kata.v2``."""
    return "gvisor" if "runsc" in name else "kata" if "kata" in name else None


def parse_label(text: str, lsms: tuple[str, ...], enforcing: bool | None) -> Mac | None:
    """``/proc/PID/attr/current``: ``docker-default (enforce)``, ``system_u:system_r:…:s0``."""
    label = text.rstrip("\0\n")
    if not label:
        return None
    if match := re.fullmatch(r"(.+) \((\w+)\)", label, re.DOTALL):
        return Mac("apparmor", match[1], match[2])
    if label == "unconfined":
        return Mac("apparmor", label, label)
    if label.count(":") >= 2:
        mode = None if enforcing is None else "enforce" if enforcing else "permissive"
        return Mac("selinux", label, mode)
    module = next((name for name in ("smack", "selinux", "apparmor") if name in lsms), "unknown")
    return Mac(module, label, None)


_LIMITS = {
    "": ("memory.max", "memory.high", "memory.swap.max", "pids.max", "cpu.max", "cpuset.cpus"),
    "memory": ("memory.limit_in_bytes",),
    "pids": ("pids.max",),
    "cpu": ("cpu.cfs_quota_us",),
    "cpuset": ("cpuset.cpus",),
}
"""The files that limit something, by the controller of version 1; ``""`` is version 2."""
_UNLIMITED = 1 << 60
"""Version 1 says a number near 2**63 where there is no limit on memory."""


def parse_groups(text: str) -> dict[str, str]:
    """``/proc/PID/cgroup``: controller → path; ``""`` is version 2."""
    limits = {}
    for line in text.split("\n"):  # the only character that no name of a group can have
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        for name in controllers.split(","):
            if path and not name.startswith("name="):
                limits[name] = path
    return limits


Limits = dict[tuple[str, str], list[tuple[str, str]]]
"""Limits that were read before, by controller and path: many processes share a group."""


def cgroup_of(
    groups: Mapping[str, str], mounts: Sequence[Mount], own: Sequence[Mount], known: Limits
) -> Cgroup:
    """``mounts`` are those of the process, ``own`` ours: through them the limits are read."""
    first = [name for name in groups if name]
    version = "v2" if not first else "hybrid" if "" in groups else "v1"
    for controller, path in groups.items():
        if (controller, path) not in known:
            known[controller, path] = _limits(controller, path, own)
    asked = next((name for name in ("memory", "pids", "cpu", *first) if name in groups), "")
    return Cgroup(
        version,
        groups.get(asked, "/"),
        cgroup_writable(mounts),
        {
            name: value
            for controller, path in groups.items()
            for name, value in known[controller, path]
        },
    )


def _limits(controller: str, path: str, own: Sequence[Mount]) -> list[tuple[str, str]]:
    """The nearest limits on the way from a group up to the root of what we see."""
    top = _mount_of(controller, own)
    if top is None or ".." in path.split("/"):
        return []
    root = top.root.rstrip("/")
    below = path.removeprefix(root) if f"{path}/".startswith(f"{root}/") else path
    steps = [step for step in below.split("/") if step]
    folders = ["/".join([top.target, *steps[:count]]) for count in range(len(steps), -1, -1)]
    limits: dict[str, str] = {}
    for folder in folders:
        for name in _LIMITS.get(controller, ()):
            if value := _value(f"{folder}/{name}"):
                limits.setdefault(name, value)
    everything = _value(f"{top.target}/cpuset.cpus")  # of version 1: not a limit
    return [(n, v) for n, v in limits.items() if n != "cpuset.cpus" or v != everything]


def _mount_of(controller: str, own: Sequence[Mount]) -> Mount | None:
    for mount in own:
        if controller and mount.type == "cgroup" and controller in mount.options.split(","):
            return mount
        if not controller and mount.type == "cgroup2":
            return mount
    return None


def _value(path: str) -> str | None:
    try:
        with open(path) as file:
            value = file.read().strip()
    except OSError:
        return None
    unlimited = value in ("", "-1") or value.startswith("max")
    return None if unlimited or (value.isdecimal() and int(value) > _UNLIMITED) else value


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
    uids, gids = user_namespaces.parse_map(uid_map), user_namespaces.parse_map(gid_map)
    rootless = None
    if sharing is not Sharing.UNKNOWN and uids:
        rootless = sharing is Sharing.OWN and user_namespaces.translated(0, uids) != 0
    if ours:
        return User(seen, gid, groups, user_namespaces.translated(seen, uids), rootless)
    back, gids_back = user_namespaces.inverse(uids), user_namespaces.inverse(gids)
    return User(
        user_namespaces.inside(seen, back),
        user_namespaces.inside(gid, gids_back),
        tuple(user_namespaces.inside(group, gids_back) for group in groups),
        seen,
        rootless,
    )
