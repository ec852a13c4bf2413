"""The system calls whose arguments and results are recorded, and how to read them.

Only calls that are rare are listed: an event on each open or stat would cost more than all the
rest of the observer (measured: 1.15 of the native time). Names are those of the kernel's
``SYSCALL_DEFINE``, which tracefs uses too. Pointers are not followed.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass

from capadvise.kernel import syscall_arguments, uapi
from capadvise.model import clone_flags
from capadvise.model.caps import Cap, CapSet

ARGUMENTS: dict[str, dict[str, int]] = {
    **syscall_arguments.recorded(),
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
"""Frequent calls → the capabilities that they can be refused for want of. Only their refusals are
recorded, and those of the most frequent only where the target lacks one of these: each costs a
few per cent."""


_RARE = frozenset(_FILE_CALLS) - {"open", "openat", "openat2", "connect"} | {"clone", "clone3"}


def refusable(missing: CapSet) -> list[str]:
    """The calls whose refusals tell something, when these capabilities are missing: the rare ones
    in any case, for a filter, a limit or a read-only mount refuses whatever is held."""
    names = {cap.short for cap in missing}
    return [call for call, caps in REFUSABLE.items() if call in _RARE or names.intersection(caps)]


def makes_users(flags: int) -> bool:
    """Whether the flags of unshare, clone or setns are for a user namespace."""
    return bool(flags & clone_flags.CLONE_NEWUSER)


def makes_namespaces(flags: int) -> bool:
    """Whether the flags of clone are for any."""
    return bool(flags & clone_flags.ALL)


def makes_pids(flags: int) -> bool:
    """Whether they are for a pid namespace, in which children will be."""
    return bool(flags & clone_flags.CLONE_NEWPID)


def made_ambient(values: tuple[int, ...]) -> CapSet:
    """What this prctl lets the next program keep (PR_CAP_AMBIENT_RAISE): the kernel
    asks whether it is permitted without a check (cap_task_prctl() of security/commoncap.c)."""
    option, operation, cap, *_ = (*values, 0, 0, 0)
    wanted = (option, operation) == (uapi.PR_CAP_AMBIENT, uapi.PR_CAP_AMBIENT_RAISE)
    return frozenset({Cap(cap)} if wanted and 0 <= cap < 64 else ())


ONE_PROCESS = {"setpriority": 0, "ioprio_set": 1}
"""Calls that are about one process for this ``which`` (PRIO_PROCESS, IOPRIO_WHO_PROCESS)."""
_TRACING = (uapi.PTRACE_ATTACH, uapi.PTRACE_SEIZE)
_NICE, _TRACE = Cap.parse("SYS_NICE"), Cap.parse("SYS_PTRACE")


def reaches(call: str, args: Mapping[str, int]) -> tuple[int, Cap] | None:
    """The process that a call is about, and the capability that it takes where that process holds
    more than the caller; None for the caller itself."""
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


_UIDS = ("setuid", "setreuid", "setresuid", "setfsuid")
_SET_ALL = ("setuid", "setgid")
_GIDS = ("setgid", "setregid", "setresgid", "setfsgid")
SET_IDS = frozenset(_UIDS + _GIDS)


@dataclass(slots=True)
class Ids:
    """Real, effective and saved id of a task, as far as the calls seen tell."""

    real: int
    effective: int
    saved: int

    def changes(self, wanted: Mapping[str, int]) -> bool:
        """Whether a call asks for an id that the task has nowhere yet."""
        own = {self.real, self.effective, self.saved, 0xFFFFFFFF}
        return any(value not in own for name, value in wanted.items() if name.endswith("id"))

    def differ(self, wanted: Mapping[str, int]) -> bool:
        """Whether a call that sets all three changes the real one, too. Without the capability it
        sets the effective id alone, if that is the saved one: what a set-uid program has of its
        file it can use then, and not keep (setuid(2))."""
        return self.real not in [value for name, value in wanted.items() if name.endswith("id")]

    def after(self, call: str, args: Mapping[str, int]) -> Ids:
        """The ids once the call has succeeded (credentials(7), setresuid(2))."""
        if call in ("setuid", "setgid"):
            new = args.get("uid", args.get("gid", self.effective))
            return Ids(new, new, new) if self.effective == 0 else Ids(self.real, new, self.saved)
        if call in ("setfsuid", "setfsgid"):
            return self
        keep = 0xFFFFFFFF
        kind = "u" if call in _UIDS else "g"

        def pick(letter: str, old: int) -> int:
            value = args.get(f"{letter}{kind}id", keep)
            return old if value == keep else value

        real, effective = pick("r", self.real), pick("e", self.effective)
        saved = pick("s", self.saved) if call.startswith("setres") else effective
        return Ids(real, effective, saved)


def arguments(call: str, values: tuple[int, ...], uids: Ids, gids: Ids) -> dict[str, int]:
    """The recorded arguments of a call by name, as the kernel reads them.

    Calls that set ids get ``changes`` besides: 1 when they ask for an id that is not the task's.
    """
    wanted = ARGUMENTS.get(call, {})
    args = {name: _signed(name, values[at]) for name, at in wanted.items() if at < len(values)}
    if call in _UIDS or call in _GIDS:
        ids = uids if call in _UIDS else gids
        args["changes"] = int(ids.changes(args) or (call in _SET_ALL and ids.differ(args)))
    return args


def sets_uids(call: str) -> bool:
    """Whether the call changes user ids."""
    return call in _UIDS


def sets_gids(call: str) -> bool:
    """Whether the call changes group ids."""
    return call in _GIDS


def _signed(name: str, value: int) -> int:
    return syscall_arguments.signed(value) if name in ("pid", "prio", "who") else value & 0xFFFFFFFF
