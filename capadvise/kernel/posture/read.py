"""Reading what restrains a process, from outside or from inside a container.

Nothing here fails because something cannot be read, is not there in this kernel, or because the
process goes away meanwhile: what is missing is None. Only a process that is not there at all is an
OSError.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from capadvise.kernel import id_maps, libc, procfs
from capadvise.kernel.posture import cgroups, lsm_labels, mounts
from capadvise.kernel.posture.own_state import SYSCTLS, OwnState, inode_of, own_state, text_of
from capadvise.model import clone_flags
from capadvise.model.posture import NAMESPACES, Cgroup, Mac, Posture, Root, Seccomp, Sharing

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
    """What is the same for all processes, read once."""

    proc: Path
    user: int | None
    """Our own user namespace."""
    initial: Mapping[str, int | None]
    """The machine's mount and network namespaces, where they can be told."""
    mounts: Mounts
    """Ours."""
    of_host: Mounts
    """The machine's; empty where we do not see them."""
    root: tuple[int, int] | None
    """The root folder of the machine: device and inode."""
    lsms: tuple[str, ...]
    enforcing: bool | None
    """Whether SELinux does."""
    sandbox: str | None
    namespaces: tuple[str, ...]
    """Those that the kernel has."""
    limits: cgroups.Limits = field(default_factory=dict)
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
            sandbox=lsm_labels.sandbox_inside(
                text_of(proc / "version"),
                text_of(proc / "cmdline"),
                text_of(proc / "self/mountinfo"),
            ),
            namespaces=tuple(n for n in NAMESPACES if (proc / "self/ns" / n).is_symlink()),
        )


def posture_at_exec(own: OwnState, sysctls: dict[str, str]) -> Posture:
    """Of a child of ours that was about to exec: all else it shared with us. ``sysctls``: as they
    were then."""
    machine = Machine.read()
    posture = _posture(machine.proc / "self", own, machine, sysctls=False)
    return replace(posture, sysctls=sysctls, securebits=own_securebits())


def posture_of(pid: int, machine: Machine, *, sysctls: bool = True) -> Posture:
    """What restrains a process. Raises OSError when it is gone before anything was read."""
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
        user=id_maps.parse_user(
            status,
            own.uid_map,
            own.gid_map,
            shared["user"],
            ours=inodes["user"] is not None and inodes["user"] == machine.user,
        ),
        sandbox=machine.sandbox
        or lsm_labels.sandbox_outside(
            procfs.command_line(folder.name, machine.proc).decode(errors="backslashreplace")
        ),
    )


def read_sysctls(network: Path, proc: Path) -> dict[str, str]:
    """The settings that decide. /proc/sys/net shows each thread its own network namespace: one of
    ours enters the other; where it may not any more (``own_caps``), ``nsenter`` may. Else those
    settings are missing."""
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
    """Of this process: prctl(2) tells nobody else."""
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
        if values := lsm_labels.parse_label(text, machine.lsms, machine.enforcing):
            return values
    return None


def _cgroup(listed: str, mounted: Mounts, machine: Machine) -> Cgroup | None:
    groups = cgroups.parse_groups(listed)
    return cgroups.cgroup_of(groups, mounted, machine.mounts, machine.limits) if groups else None


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
