"""The state in which a process may differ from the one that forked it.

It is read while a command is held; parsing it takes longer, and no target waits for that.
"""

from dataclasses import dataclass
from pathlib import Path

from capadvise.kernel import procfs

SYSCTLS = (
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "kernel.dmesg_restrict",
    "kernel.perf_event_paranoid",
    "kernel.unprivileged_bpf_disabled",
    "kernel.io_uring_disabled",
    "kernel.yama.ptrace_scope",
    "vm.overcommit_memory",
    "vm.unprivileged_userfaultfd",
    "kernel.unprivileged_userns_clone",
    "kernel.apparmor_restrict_unprivileged_userns",
    "user.max_user_namespaces",
)
"""Settings that decide what a program needs."""


@dataclass(frozen=True, slots=True)
class OwnState:
    """The text of its files below /proc; empty where one cannot be read."""

    status: str
    cgroup: str
    uid_map: str
    gid_map: str
    users: int | None
    """The number of its user namespace."""


def own_state(folder: Path) -> OwnState:
    """The state of a process, by its folder in /proc. Raises OSError if it is gone."""
    return OwnState(
        (folder / "status").read_text(errors="backslashreplace"),
        text_of(folder / "cgroup"),
        text_of(folder / "uid_map"),
        text_of(folder / "gid_map"),
        inode_of(folder / "ns/user"),
    )


def own_sysctls(proc: Path = procfs.PROC) -> dict[str, str]:
    """The settings that decide, as we see them: the command may change them."""
    values = {name: procfs.sysctl(name, proc) for name in SYSCTLS}
    return {name: " ".join(value.split()) for name, value in values.items() if value is not None}


def text_of(path: Path) -> str:
    """The whole text of a file; empty if it cannot be read."""
    try:
        return path.read_bytes().decode(errors="backslashreplace")
    except OSError:
        return ""


def inode_of(path: Path) -> int | None:
    """The number of a file or a namespace; None where it cannot be read."""
    try:
        return path.stat().st_ino
    except OSError:
        return None
