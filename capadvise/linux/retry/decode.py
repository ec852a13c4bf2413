"""What a call was about, for people: paths, addresses, pids, modes, names. Pure: memory is asked
for through ``Memory``. What comes out is hostile and unescaped."""

from __future__ import annotations

import os
import signal
import socket
import struct
from collections.abc import Callable, Sequence
from typing import Protocol

from capadvise.linux.kernel.uapi import NAMESPACES, PRCTL


class Memory(Protocol):
    """A stopped thread, as far as arguments point into it."""

    def text(self, address: int) -> bytes:
        """The string there, without its end; empty when it cannot be read."""

    def raw(self, address: int, size: int) -> bytes:
        """Bytes; fewer, or none, where they cannot be read."""

    def folder(self, fd: int) -> str:
        """The path of a descriptor; of the working directory for AT_FDCWD."""


_AT_FDCWD = -100

SHAPES: dict[str, str] = {
    **dict.fromkeys(("stat", "lstat", "readlink", "chdir", "chroot", "rmdir", "unlink"), "path"),
    **dict.fromkeys(("access", "truncate", "statfs", "swapon", "swapoff", "acct"), "path"),
    **dict.fromkeys(("utime", "utimes", "execve", "umount", "umount2", "creat"), "path"),
    **dict.fromkeys(("newfstatat", "statx", "readlinkat", "unlinkat", "utimensat"), "at"),
    **dict.fromkeys(("faccessat2", "execveat", "name_to_handle_at", "futimesat"), "at"),
    **dict.fromkeys(("open_tree", "mount_setattr", "fspick", "openat2"), "at"),
    "open": "path open mode",
    "openat": "at open mode",
    "mkdir": "path mode",
    "mkdirat": "at mode",
    "mknod": "path mode device",
    "mknodat": "at mode device",
    "chmod": "path mode",
    "fchmod": "fd mode",
    "fchmodat": "at mode",
    "fchmodat2": "at mode",
    "chown": "path uid gid",
    "lchown": "path uid gid",
    "fchown": "fd uid gid",
    "fchownat": "at uid gid",
    **dict.fromkeys(("fchdir", "ftruncate", "fsync", "read", "pread64", "write", "writev"), "fd"),
    **dict.fromkeys(("pwrite64", "fallocate", "sendfile", "fsmount"), "fd"),
    "rename": "path path",
    "link": "path path",
    "symlink": "path path",
    "pivot_root": "path path",
    "renameat": "at at",
    "renameat2": "at at",
    "linkat": "at at",
    "symlinkat": "path at",
    "move_mount": "at at",
    **dict.fromkeys(("setxattr", "lsetxattr", "getxattr", "lgetxattr"), "path name"),
    **dict.fromkeys(("removexattr", "lremovexattr"), "path name"),
    **dict.fromkeys(("fsetxattr", "fgetxattr", "fremovexattr"), "fd name"),
    "listxattr": "path",
    "llistxattr": "path",
    "bind": "socket address",
    "connect": "socket address",
    "sendto": "socket - - - address",
    "socket": "family type",
    "setsockopt": "- option",
    "getsockopt": "- option",
    "ioctl": "fd request",
    "fcntl": "fd control",
    "kill": "pid signal",
    "tkill": "pid signal",
    "tgkill": "pid - signal",
    "rt_sigqueueinfo": "pid signal",
    "ptrace": "number pid",
    "process_vm_readv": "pid",
    "process_vm_writev": "pid",
    "kcmp": "pid pid",
    "get_robust_list": "pid",
    "move_pages": "pid",
    "migrate_pages": "pid",
    "sched_setscheduler": "pid",
    "sched_setaffinity": "pid",
    "sched_setattr": "pid",
    "sched_setparam": "pid",
    "setpriority": "- pid priority",
    "ioprio_set": "- pid",
    "prlimit64": "pid resource",
    "setrlimit": "resource",
    "mount": "name path name",
    "fsopen": "name",
    "sethostname": "name",
    "setdomainname": "name",
    "mq_open": "name",
    "setuid": "uid",
    "setgid": "gid",
    "setfsuid": "uid",
    "setfsgid": "gid",
    "setreuid": "uid uid",
    "setregid": "gid gid",
    "setresuid": "uid uid uid",
    "setresgid": "gid gid gid",
    "setgroups": "count",
    "unshare": "namespaces",
    "clone": "namespaces",
    "setns": "fd",
    "prctl": "prctl",
    "mlock": "- size",
    "bpf": "bpf",
    "perf_event_open": "- pid",
    "inotify_add_watch": "- path",
    "syslog": "number",
}
"""Call → what its arguments are, in order; ``-`` stands for one that tells nothing."""


def detail(call: str, args: Sequence[int], memory: Memory) -> str | None:
    """The arguments of a call in words; None where they tell nothing."""
    words: list[str] = []
    at = 0
    for shape in SHAPES.get(call, "").split():
        if shape == "at":
            words.append(_path_at(_signed(args[at]), memory.text(args[at + 1]), memory))
            at += 2
            continue
        if shape == "option":
            words.append(f"level {args[at] & 0xFFFF}, option {args[at + 1] & 0xFFFF}")
        elif shape == "address":
            words.append(address(memory.raw(args[at], min(args[at + 1] & 0xFFFF, 128))))
        elif shape == "path" and args[at]:
            words.append(_path_at(_AT_FDCWD, memory.text(args[at]), memory))
        elif shape == "name":
            words.append(memory.text(args[at]).decode(errors="backslashreplace"))
        elif shape == "fd":
            words.append(memory.folder(_signed(args[at])))
        elif shape == "mode" and call.startswith("open") and not args[at - 1] & 0o100:
            pass  # only O_CREAT gives it a meaning
        elif shape in _NUMBERS:
            words.append(_NUMBERS[shape](args[at]))
        at += 1
    return ", ".join(text for text in words if text) or None


def _signed(value: int) -> int:
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value


def _path_at(fd: int, path: bytes, memory: Memory) -> str:
    text = path.decode(errors="backslashreplace")
    if text.startswith("/") or (fd == _AT_FDCWD and text):
        return text
    return os.path.join(memory.folder(fd), text) if text else memory.folder(fd)


def _id(kind: str) -> Callable[[int], str]:
    def words(value: int) -> str:
        value &= 0xFFFFFFFF
        return "" if value == 0xFFFFFFFF else f"{kind} {value}"

    return words


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


def _named(table: dict[int, str], otherwise: str, mask: int = 0xFFFFFFFF) -> Callable[[int], str]:
    return lambda value: table.get(value & mask, f"{otherwise} {value & mask:#x}")


_NUMBERS: dict[str, Callable[[int], str]] = {
    "uid": _id("uid"),
    "gid": _id("gid"),
    "pid": lambda value: f"pid {_signed(value)}" if _signed(value) else "itself",
    "mode": lambda value: f"mode {value & 0o7777:04o}",
    "device": lambda value: f"device {os.major(value)}:{os.minor(value)}" if value else "",
    "open": _open,
    "signal": _signal,
    "family": _named(_FAMILIES, "family"),
    "type": _named(_TYPES, "type", 0xF),
    "request": _named(_REQUESTS, "request"),
    "control": _named(_CONTROLS, "command"),
    "resource": lambda value: "RLIMIT_" + _RESOURCES.get(value & 0xFF, str(value & 0xFF)),
    "prctl": _named(PRCTL, "option"),
    "bpf": _named(_BPF, "command"),
    "priority": lambda value: f"priority {_signed(value)}",
    "number": lambda value: f"request {_signed(value)}",
    "count": lambda value: f"{value} groups",
    "size": lambda value: f"{value} bytes",
    "namespaces": lambda value: "|".join(n for bit, n in NAMESPACES.items() if value & bit),
}


def address(raw: bytes) -> str:
    """A socket address: ``0.0.0.0:80``, ``[::]:80``, a path, a netlink group."""
    if len(raw) < 2:
        return ""
    (family,) = struct.unpack_from("=H", raw)
    if family == socket.AF_INET and len(raw) >= 8:
        return f"{socket.inet_ntop(family, raw[4:8])}:{int.from_bytes(raw[2:4], 'big')}"
    if family == socket.AF_INET6 and len(raw) >= 24:
        return f"[{socket.inet_ntop(family, raw[8:24])}]:{int.from_bytes(raw[2:4], 'big')}"
    if family == socket.AF_UNIX:
        path = raw[2:]
        name = b"@" + path[1:] if path[:1] == b"\0" else path.partition(b"\0")[0]
        return name.rstrip(b"\0").decode(errors="backslashreplace")
    if family == 16 and len(raw) >= 12:
        groups = struct.unpack_from("=I", raw, 8)[0]
        return f"netlink, groups {groups:#x}" if groups else "netlink"
    return f"address of family {family}"
