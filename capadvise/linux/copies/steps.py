"""What a copy may do: which of its calls are made, which are pretended, and which end it. Pure.

A copy has its own memory, credentials and table of descriptors, and what it does to those is lost
with it. What lies behind a descriptor, it shares with the program: nothing is read from there,
and nothing written.
"""

from __future__ import annotations

import stat
from collections.abc import Callable
from enum import Enum, auto

from capadvise.dataclass import dataclass
from capadvise.linux.copies.watched import ERRORS, FAMILY, MADE, PRETENDED, watched


class Fate(Enum):
    """What becomes of a call."""

    MADE = auto()
    PRETENDED = auto()
    """It is not made, and returns ``Ruling.value``."""
    WRITTEN = auto()
    """The same; and it is something that the program says."""
    END = auto()
    """The copy ends here."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """About one call."""

    step: Fate
    value: int = 0


@dataclass(frozen=True, slots=True)
class CopyCall:
    """A call that a copy is about to make."""

    name: str
    number: int
    args: tuple[int, ...]
    """All six registers."""


_MADE = frozenset(
    (
        # its memory
        *("brk", "munmap", "mremap"),
        # its descriptors
        *(
            "close",
            "dup",
            "dup2",
            "dup3",
            "pipe",
            "pipe2",
            "getsockname",
            "getpeername",
            "getsockopt",
        ),
        # its credentials, and what else is of a process alone
        *("setfsuid", "setfsgid", "capget", "capset", "umask", "chdir", "fchdir", "setsid"),
        *("rt_sigaction", "rt_sigprocmask", "sigaltstack", "set_robust_list", "rseq"),
        # looking
        *("getpid", "gettid", "getppid", "getpgrp", "getpgid", "getsid", "getuid", "geteuid"),
        *("getgid", "getegid", "getgroups", "getresuid", "getresgid", "getpriority"),
        *("sched_getparam", "sched_getscheduler", "sched_getattr", "sched_getaffinity"),
        *("getrlimit", "getrusage", "times", "sysinfo", "uname", "gettimeofday", "time"),
        *("clock_gettime", "clock_getres", "getcpu", "getrandom", "rt_sigpending"),
        *("stat", "lstat", "fstat", "newfstatat", "statx", "statfs", "fstatfs", "access"),
        *("faccessat", "faccessat2", "readlink", "readlinkat", "getcwd", "getxattr"),
        *("lgetxattr", "fgetxattr", "listxattr", "llistxattr", "flistxattr"),
    )
)
_AF_UNIX, _AF_INET = 1, 2
_MAP_SHARED = 1
_PROT_WRITE = 2
_OWN_PAGES = (0, 1, 2, 3, 4, 8, 14, 15, 20)
"""MADV_NORMAL, RANDOM, SEQUENTIAL, WILLNEED, DONTNEED, FREE, HUGEPAGE, NOHUGEPAGE, COLD:
MADV_REMOVE changes the file, and MADV_HWPOISON what others have there."""
_O_WRITING = 0o3 | 0o100 | 0o1000  # O_WRONLY or O_RDWR, O_CREAT, O_TRUNC
_F_GETFD, _F_SETFD, _F_GETFL = 1, 2, 3
_LOOKS = (
    *(0x5401, 0x5413),  # TCGETS, TIOCGWINSZ
    # SIOCGIF: NAME, CONF, FLAGS, ADDR, DSTADDR, BRDADDR, NETMASK, METRIC, MTU, HWADDR, INDEX
    *(0x8910, 0x8912, 0x8913, 0x8915, 0x8917, 0x8919, 0x891B, 0x891D, 0x8921, 0x8927, 0x8933),
    *(0x8942, 0x8970),  # SIOCGIFTXQLEN, SIOCGIFMAP
)
"""Requests of ioctl(2) that change nothing."""
_FUTEX_WAKE_PRIVATE, _FUTEX_CLOCK = 1 | 128, 256
_PR_SET_SECCOMP, _PR_SCHED_CORE = 22, 62
_SEEK_CUR = 1
_OPENS = ("open", "openat")
_READS = ("read", "pread64", "lseek", "getdents64")


def ruling(
    call: CopyCall,
    *,
    about: str,
    refused: bool,
    own: frozenset[int],
    kind: Callable[[], int | None],
    shared: Callable[[], bool],
    size: int,
) -> Ruling:
    """What becomes of a call of a copy.

    ``about``: the call that this is about, and ``refused``: whether it is refused to this copy.
    ``own``: descriptors that it opened. ``kind``: the mode (``st_mode``) of the file that it is
    about to open. ``shared``: whether others see the memory that it names. ``size``: how much it
    is about to write.
    """
    if (name := watched(call.number, call.args)) is not None:
        return _of_watched(name, about, refused=refused)
    if call.name in _MADE or _is_harmless(call, own, kind, shared):
        return Ruling(Fate.MADE)
    if call.name in ("write", "writev", "sendto", "sendmsg"):
        return Ruling(Fate.WRITTEN, size)
    if call.name == "connect":  # for syslog(3)
        return Ruling(Fate.PRETENDED)
    return Ruling(Fate.END)


def _of_watched(name: str, about: str, *, refused: bool) -> Ruling:
    if refused and name in FAMILY[about]:
        return Ruling(Fate.PRETENDED, -ERRORS[name])
    if name in MADE:
        return Ruling(Fate.MADE)
    return Ruling(Fate.PRETENDED if name in PRETENDED | FAMILY[about] else Fate.END)


def _is_harmless(
    call: CopyCall,
    own: frozenset[int],
    kind: Callable[[], int | None],
    shared: Callable[[], bool],
) -> bool:
    """Of calls that depend on their arguments."""
    first, second, third, fourth = call.args[:4]
    if call.name in _OPENS:
        flags = third if call.name == "openat" else second
        mode = kind() if not flags & _O_WRITING else None
        return mode is not None and (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
    if call.name == "mprotect":
        return not third & _PROT_WRITE or not shared()
    if call.name in _READS:
        asks_where = call.name == "lseek" and (second, third) == (0, _SEEK_CUR)
        return asks_where or first & 0xFFFFFFFF in own
    return {
        "madvise": third in _OWN_PAGES,
        "mmap": not fourth & _MAP_SHARED,
        "socket": first in (_AF_UNIX, _AF_INET),  # others can load a module
        "fcntl": second in (_F_GETFD, _F_SETFD, _F_GETFL),
        "ioctl": second in _LOOKS,
        "futex": second & ~_FUTEX_CLOCK == _FUTEX_WAKE_PRIVATE,
        "prctl": first not in (_PR_SET_SECCOMP, _PR_SCHED_CORE),
    }.get(call.name, False)
