"""What the arguments of system calls are, and how they are told to people. Pure.

One table for all who read arguments: the observer gets a few by their names, and no memory;
retries see all of them, with what they point to (``retry.decode``).
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from functools import cache

from capadvise.kernel import uapi
from capadvise.model import clone_flags

SIGNATURES: dict[str, str] = {
    **dict.fromkeys(("stat", "lstat", "readlink", "chdir", "chroot", "rmdir", "unlink"), "path"),
    **dict.fromkeys(("access", "truncate", "statfs", "swapon", "swapoff", "acct"), "path"),
    **dict.fromkeys(("utime", "utimes", "execve", "umount", "umount2", "creat"), "path"),
    **dict.fromkeys(("listxattr", "llistxattr"), "path"),
    **dict.fromkeys(("newfstatat", "statx", "readlinkat", "unlinkat", "utimensat"), "dirfd path"),
    **dict.fromkeys(("faccessat2", "execveat", "name_to_handle_at", "futimesat"), "dirfd path"),
    **dict.fromkeys(("open_tree", "mount_setattr", "fspick", "openat2"), "dirfd path"),
    "open": "path open mode",
    "openat": "dirfd path open mode",
    "mkdir": "path mode",
    "mkdirat": "dirfd path mode",
    "mknod": "path mode device",
    "mknodat": "dirfd path mode device",
    "chmod": "path mode:mode",
    "fchmod": "fd mode:mode",
    "fchmodat": "dirfd path mode:mode",
    "fchmodat2": "dirfd path mode:mode",
    "chown": "path uid:id gid:id",
    "lchown": "path uid:id gid:id",
    "fchown": "fd uid:id gid:id",
    "fchownat": "dirfd path uid:id gid:id",
    **dict.fromkeys(("fchdir", "ftruncate", "fsync", "read", "pread64", "write", "writev"), "fd"),
    **dict.fromkeys(("pwrite64", "fallocate", "sendfile", "fsmount"), "fd"),
    **dict.fromkeys(("rename", "link", "symlink", "pivot_root"), "path path"),
    **dict.fromkeys(("renameat", "renameat2", "linkat", "move_mount"), "dirfd path dirfd path"),
    "symlinkat": "path dirfd path",
    **dict.fromkeys(("setxattr", "lsetxattr", "getxattr", "lgetxattr"), "path name"),
    **dict.fromkeys(("removexattr", "lremovexattr"), "path name"),
    **dict.fromkeys(("fsetxattr", "fgetxattr", "fremovexattr"), "fd name"),
    "bind": "- address",
    "connect": "- address",
    "sendto": "- - - - address",
    "socket": "family:family type:type protocol:-",
    "setsockopt": "- level:level name:option",
    "getsockopt": "- level option",
    "ioctl": "fd cmd:request",
    "fcntl": "fd control",
    "kill": "pid:- signal:signal",  # a pid is another in each run
    "tkill": "pid:- signal:signal",
    "tgkill": "- pid:- signal:signal",
    "rt_sigqueueinfo": "- signal",
    "ptrace": "request:number pid:pid",
    "process_vm_readv": "pid:pid",
    "process_vm_writev": "pid:pid",
    "kcmp": "pid pid",
    "pidfd_open": "pid:pid",
    "pidfd_getfd": "pidfd:-",
    "pidfd_send_signal": "pidfd:- signal:signal",
    **dict.fromkeys(("get_robust_list", "move_pages", "migrate_pages"), "pid:pid"),
    "sched_setscheduler": "pid:pid",
    "sched_setaffinity": "pid:pid",
    "sched_setattr": "pid:pid",
    "sched_setparam": "pid:pid",
    "setpriority": "which:- who:- prio:priority",
    "ioprio_set": "which:- who:pid",
    "prlimit64": "pid:pid resource:resource",
    "setrlimit": "resource",
    "mount": "name path name flags:-",
    **dict.fromkeys(("fsopen", "sethostname", "setdomainname", "mq_open"), "name"),
    "setuid": "uid:id",
    "setgid": "gid:id",
    "setfsuid": "uid:id",
    "setfsgid": "gid:id",
    "setreuid": "ruid:id euid:id",
    "setregid": "rgid:id egid:id",
    "setresuid": "ruid:id euid:id suid:id",
    "setresgid": "rgid:id egid:id sgid:id",
    "setgroups": "count",
    "unshare": "flags:namespaces",
    "clone": "flags:namespaces",
    "setns": "fd flags:namespaces",
    "prctl": "option:prctl arg2:-",
    "mlock": "- size",
    "bpf": "cmd:bpf",
    "perf_event_open": "- pid",
    "inotify_add_watch": "- path",
    "syslog": "number",
    "fanotify_init": "flags:-",
    "fanotify_mark": "- flags:-",
    "capget": "- data:-",
}
"""Call → what its arguments are, in order: a kind, ``-`` for one that tells nothing. The observer
records those with a name before the colon: the ones that can decide, or that people want to see."""


@cache
def signature(call: str) -> tuple[tuple[str, str], ...]:
    """(name, kind) of each argument; the name is empty where the observer does not record it."""
    words = SIGNATURES.get(call, "").split()
    return tuple((name, kind) for name, _, kind in (word.rpartition(":") for word in words))


def recorded() -> dict[str, dict[str, int]]:
    """Call → the arguments that the observer records, by position."""
    return {
        call: {name: at for at, (name, _) in enumerate(signature(call)) if name}
        for call, words in SIGNATURES.items()
        if ":" in words
    }


def detail(call: str, args: Mapping[str, int]) -> str | None:
    """Recorded arguments for people: ``mode 2755``, ``SIGTERM``; None where there are none."""
    words = (in_words(name, kind, args[name]) for name, kind in signature(call) if name in args)
    return ", ".join(filter(None, words)) or None


def in_words(name: str, kind: str, value: int) -> str:
    """One argument; empty where it tells nothing. Pointers and descriptors are not followed."""
    if kind == "id":
        value &= 0xFFFFFFFF
        return "" if value == 0xFFFFFFFF else f"{name} {value}"
    return _WORDS[kind](value) if kind in _WORDS else ""


def signed(value: int) -> int:
    """An argument of 32 bits as the kernel reads it."""
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value


_ACCESS = {0: "reading", 1: "writing", 2: "reading and writing", 3: ""}


def _open(flags: int) -> str:
    more = ", O_NOATIME" if flags & 0o1000000 else ""
    return _ACCESS[flags & 3] + more


def _signal(number: int) -> str:
    try:
        return signal.Signals(number & 0xFF).name
    except ValueError:
        return f"signal {number & 0xFF}"


_FAMILIES = {1: "AF_UNIX", 2: "AF_INET", 10: "AF_INET6", 16: "AF_NETLINK", 17: "AF_PACKET"}
_TYPES = {1: "SOCK_STREAM", 2: "SOCK_DGRAM", 3: "SOCK_RAW", 5: "SOCK_SEQPACKET"}
_REQUESTS = {
    **{0x8914: "SIOCSIFFLAGS", 0x8916: "SIOCSIFADDR", 0x891C: "SIOCSIFNETMASK"},
    **{0x8922: "SIOCSIFMTU", 0x8924: "SIOCSIFHWADDR", 0x890B: "SIOCADDRT", 0x890C: "SIOCDELRT"},
    **{0x89A0: "SIOCBRADDBR", 0x89A1: "SIOCBRDELBR", 0x8946: "SIOCETHTOOL", 0x8955: "SIOCSARP"},
    **{0x400454CA: "TUNSETIFF", 0x40086602: "FS_IOC_SETFLAGS", 0x1261: "BLKFLSBUF"},
    **{0x4C00: "LOOP_SET_FD", 0x4C01: "LOOP_CLR_FD", 0x4C82: "LOOP_CTL_GET_FREE"},
    **{0x5412: "TIOCSTI", 0x540E: "TIOCSCTTY", 0x541D: "TIOCCONS", 1: "FIBMAP"},
    **{0x5602: "VT_SETMODE", 0x5606: "VT_ACTIVATE", 0x4B3A: "KDSETMODE", 0x5285: "SG_IO"},
    **{0x80045430: "TIOCGPTN", 0xC0045877: "FIFREEZE", 0x125F: "BLKRRPART", 0x1269: "BLKPG"},
}
_CONTROLS = {4: "F_SETFL", 1024: "F_SETLEASE", 1031: "F_SETPIPE_SZ"}
_RESOURCES = dict(
    enumerate(
        (
            *("CPU", "FSIZE", "DATA", "STACK", "CORE", "RSS", "NPROC", "NOFILE", "MEMLOCK"),
            *("AS", "LOCKS", "SIGPENDING", "MSGQUEUE", "NICE", "RTPRIO", "RTTIME"),
        )
    )
)
_BPF = {0: "BPF_MAP_CREATE", 5: "BPF_PROG_LOAD", 8: "BPF_PROG_ATTACH", 18: "BPF_BTF_LOAD"}


def _named(
    table: Mapping[int, str], otherwise: str, mask: int = 0xFFFFFFFF
) -> Callable[[int], str]:
    return lambda value: table.get(value & mask, f"{otherwise} {value & mask}")


_WORDS: dict[str, Callable[[int], str]] = {
    "pid": lambda value: f"pid {signed(value)}" if signed(value) else "itself",
    "mode": lambda value: f"mode {value & 0o7777:04o}",
    "device": lambda value: f"device {os.major(value)}:{os.minor(value)}" if value else "",
    "open": _open,
    "signal": _signal,
    "family": _named(_FAMILIES, "family"),
    "type": _named(_TYPES, "type", 0xF),
    "request": lambda value: _REQUESTS.get(value & 0xFFFFFFFF, f"request {value & 0xFFFFFFFF:#x}"),
    "control": _named(_CONTROLS, "command"),
    "level": lambda value: f"level {value & 0xFFFF}",
    "option": lambda value: f"option {value & 0xFFFF}",
    "resource": lambda value: "RLIMIT_" + _RESOURCES.get(value & 0xFF, str(value & 0xFF)),
    "prctl": _named(uapi.PRCTL, "option"),
    "bpf": _named(_BPF, "command"),
    "priority": lambda value: f"priority {signed(value)}",
    "number": lambda value: f"request {signed(value)}",
    "count": lambda value: f"{value} groups",
    "size": lambda value: f"{value} bytes",
    "namespaces": lambda value: "|".join(n for bit, n in clone_flags.NAMES.items() if value & bit),
}
"""Kind → its value in words."""
