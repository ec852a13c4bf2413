"""System calls: their arguments and how people read them, which are recorded, and which errors are
refusals. Pure.

Only rare calls are recorded: an event on each open or stat would cost more than all the
rest of the observer (measured: 1.15 of the native time). Names are those of the kernel's
``SYSCALL_DEFINE``, which tracefs uses too. Pointers are not followed.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

from capadvise.kernel import uapi
from capadvise.model import clone_flags
from capadvise.model.caps import Cap, CapSet

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


ARGUMENTS: dict[str, dict[str, int]] = {
    **recorded(),
    "pivot_root": {},
    "chroot": {},
}
"""Call → the arguments that can decide or that people want to see, by position."""

FILTERS: dict[str, str] = {
    # TCGETS, TCSETS*, FIONREAD, FIONBIO, FIOCLEX, TIOCGWINSZ, TIOCGPGRP, TIOCSPGRP: never checked
    "ioctl": " && ".join(
        f"cmd != {number}"
        for number in (0x5401, 0x5402, 0x5403, 0x5404, 0x540F, 0x5410, 0x5413, 0x541B, 0x5421)
    )
    + " && cmd != 21585",
    # each fork is one; only those that make namespaces
    "clone": f"clone_flags & {clone_flags.ALL:#x}",
}
"""Filters for calls that are frequent but for the most part never checked."""

RESULTS: tuple[str, ...] = (
    *ARGUMENTS,
    *("setgroups", "capset", "bind", "mount", "umount", "mount_setattr", "move_mount", "open_tree"),
    *("fsopen", "fsconfig", "fsmount", "fspick", "pivot_root", "chroot", "mknod", "mknodat"),
    *("sethostname", "setdomainname", "mlock", "mlock2", "mlockall", "settimeofday"),
    *("clock_settime", "adjtimex", "clock_adjtime", "perf_event_open", "init_module"),
    *("finit_module", "delete_module", "reboot", "acct", "swapon", "swapoff", "syslog", "keyctl"),
    *("execve", "execveat", "quotactl", "open_by_handle_at", "iopl", "ioperm"),
    *("shmctl", "shmget", "msgctl", "semctl", "setxattr", "lsetxattr", "fsetxattr", "removexattr"),
    *("lremovexattr", "fremovexattr", "getxattr", "lgetxattr", "fgetxattr"),
    *("link", "linkat", "process_madvise"),
    *("pidfd_open", "pidfd_getfd", "pidfd_send_signal", "kcmp", "userfaultfd", "seccomp"),
    *("landlock_restrict_self", "vhangup", "setrlimit", "timerfd_create", "timer_create"),
    *("io_uring_setup", "utimensat", "memfd_create", "setsid"),
)
"""Calls whose result is recorded, whatever it is."""

_FILE_CALLS = (
    *("open", "openat", "openat2", "creat", "unlink", "unlinkat", "rename", "renameat"),
    *("renameat2", "mkdir", "mkdirat", "rmdir", "connect"),
)
_FILE_CAPS = ("DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "SYS_PTRACE", "PERFMON", "SYS_ADMIN")
REFUSABLE: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(_FILE_CALLS, _FILE_CAPS),
    "write": ("NET_ADMIN", "SYS_ADMIN", "SYS_RESOURCE", "SETFCAP", "SETUID", "SETGID", "SYS_NICE"),
    "sendto": ("NET_ADMIN", "NET_RAW", "AUDIT_WRITE", "AUDIT_CONTROL"),
    "sendmsg": ("NET_ADMIN", "NET_RAW", "AUDIT_WRITE", "SETUID", "SETGID", "SYS_ADMIN"),
    "fcntl": ("SYS_RESOURCE", "FOWNER", "LEASE"),
    "mq_open": ("SYS_RESOURCE", "DAC_OVERRIDE"),
    "clone": ("SYS_ADMIN", "SYS_RESOURCE"),
    "clone3": ("SYS_ADMIN", "SYS_RESOURCE", "CHECKPOINT_RESTORE"),
}
"""Frequent calls → the capabilities whose lack can make them fail. Only their refusals are
recorded, and those of the most frequent only where the target lacks one of these: each costs a
few per cent."""


_RARE = frozenset(_FILE_CALLS) - {"open", "openat", "openat2", "connect"} | {"clone", "clone3"}


def refusable(missing: CapSet) -> list[str]:
    """The calls whose refusals are recorded when these capabilities are missing: the rare ones
    always, since a filter, a limit or a read-only mount refuses with any capabilities."""
    names = {cap.short for cap in missing}
    return [call for call, caps in REFUSABLE.items() if call in _RARE or names.intersection(caps)]


def makes_users(flags: int) -> bool:
    """True if the flags of unshare, clone or setns are for a user namespace."""
    return bool(flags & clone_flags.CLONE_NEWUSER)


def makes_namespaces(flags: int) -> bool:
    """True if the flags of clone make any namespace."""
    return bool(flags & clone_flags.ALL)


def makes_pids(flags: int) -> bool:
    """True if they make a pid namespace, which the children will be in."""
    return bool(flags & clone_flags.CLONE_NEWPID)


def made_ambient(values: tuple[int, ...]) -> CapSet:
    """The capability that this prctl lets the next program keep (PR_CAP_AMBIENT_RAISE): the
    kernel tests the permitted set without a capability check (cap_task_prctl() of
    security/commoncap.c)."""
    option, operation, cap, *_ = (*values, 0, 0, 0)
    wanted = (option, operation) == (uapi.PR_CAP_AMBIENT, uapi.PR_CAP_AMBIENT_RAISE)
    return frozenset({Cap(cap)} if wanted and 0 <= cap < 64 else ())


ONE_PROCESS = {"setpriority": 0, "ioprio_set": 1}
"""Calls that act on one process for this ``which`` (PRIO_PROCESS, IOPRIO_WHO_PROCESS)."""
_TRACING = (uapi.PTRACE_ATTACH, uapi.PTRACE_SEIZE)
_NICE, _TRACE = Cap.parse("SYS_NICE"), Cap.parse("SYS_PTRACE")


def reaches(call: str, args: Mapping[str, int]) -> tuple[int, Cap] | None:
    """The process that a call acts on, and the capability it takes if that process holds more than
    the caller; None for the caller itself."""
    if call in ONE_PROCESS and args.get("which") != ONE_PROCESS[call]:
        return None
    if call == "ptrace" and args.get("request") not in _TRACING:
        return None
    pid = args.get("who", args.get("pid", 0))
    return (pid, _TRACE if call in _AS_TRACER else _NICE) if pid > 0 else None


_AS_TRACER = frozenset(
    (
        *("ptrace", "process_vm_readv", "process_vm_writev"),
        *("move_pages", "migrate_pages", "get_robust_list"),
    )
)
_SCHEDULING = ("sched_setaffinity", "sched_setscheduler", "sched_setparam", "sched_setattr")
REACHING = _AS_TRACER.union(ONE_PROCESS, _SCHEDULING)
"""Calls that act upon another process."""


INTERRUPTED = -512
"""ERESTARTSYS of linux/errno.h: no result. The kernel makes the call again, or returns EINTR."""
REFUSED = (errno.EPERM, errno.EACCES, errno.EROFS)
_LIMITED = {
    **dict.fromkeys(("open", "openat", "openat2", "creat", "socket", "mq_open"), errno.EMFILE),
    **dict.fromkeys(("mlock", "mlock2", "mlockall"), errno.ENOMEM),
    **dict.fromkeys(("clone", "clone3"), errno.EAGAIN),
    "write": errno.EFBIG,
}
"""Calls that a limit refuses, and with which error."""


def refusing(call: str) -> tuple[int, ...]:
    """The errors of a call that are refusals; setsid(2) says EPERM to who leads a group."""
    if call == "setsid":
        return ()
    return (*REFUSED, _LIMITED[call]) if call in _LIMITED else REFUSED


UID_CALLS = ("setuid", "setreuid", "setresuid", "setfsuid")
_SET_ALL = ("setuid", "setgid")
GID_CALLS = ("setgid", "setregid", "setresgid", "setfsgid")
SET_IDS = frozenset(UID_CALLS + GID_CALLS)


@dataclass(slots=True)
class Ids:
    """Real, effective and saved id of a task, as far as the calls seen tell."""

    real: int
    effective: int
    saved: int

    def changes(self, wanted: Mapping[str, int]) -> bool:
        """True if a call sets an id that the task does not have in any place."""
        own = {self.real, self.effective, self.saved, 0xFFFFFFFF}
        return any(value not in own for name, value in wanted.items() if name.endswith("id"))

    def differ(self, wanted: Mapping[str, int]) -> bool:
        """True if a call that sets all three changes the real id, too. Without the capability it
        sets only the effective id, to the saved one: a set-uid program can use the id of its file
        then, but not give it up for good (setuid(2))."""
        return self.real not in [value for name, value in wanted.items() if name.endswith("id")]

    def after(self, call: str, args: Mapping[str, int]) -> Ids:
        """The ids once the call has succeeded (credentials(7), setresuid(2))."""
        if call in ("setuid", "setgid"):
            new = args.get("uid", args.get("gid", self.effective))
            return Ids(new, new, new) if self.effective == 0 else Ids(self.real, new, self.saved)
        if call in ("setfsuid", "setfsgid"):
            return self
        keep = 0xFFFFFFFF
        kind = "u" if call in UID_CALLS else "g"

        def pick(letter: str, old: int) -> int:
            value = args.get(f"{letter}{kind}id", keep)
            return old if value == keep else value

        real, effective = pick("r", self.real), pick("e", self.effective)
        saved = pick("s", self.saved) if call.startswith("setres") else effective
        return Ids(real, effective, saved)


def arguments(call: str, values: tuple[int, ...], uids: Ids, gids: Ids) -> dict[str, int]:
    """The recorded arguments of a call by name, as the kernel reads them.

    Calls that set ids get ``changes`` in addition: 1 if they set an id that the task does not have.
    """
    wanted = ARGUMENTS.get(call, {})
    args = {name: _signed(name, values[at]) for name, at in wanted.items() if at < len(values)}
    if call in UID_CALLS or call in GID_CALLS:
        ids = uids if call in UID_CALLS else gids
        args["changes"] = int(ids.changes(args) or (call in _SET_ALL and ids.differ(args)))
    return args


def _signed(name: str, value: int) -> int:
    return signed(value) if name in ("pid", "prio", "who") else value & 0xFFFFFFFF
