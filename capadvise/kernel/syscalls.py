"""System calls: their arguments and how people read them, which are recorded, and which errors are
refusals. Pure.

Only rare calls are recorded: an event on each open or stat would cost more than all the
rest of the observer (measured: 1.15 of the native time). Names are those of the kernel's
``SYSCALL_DEFINE``, which tracefs uses too. Pointers are not followed.
"""

from __future__ import annotations

import errno
import json
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from capadvise.kernel import uapi
from capadvise.model import clone_flags
from capadvise.model.caps import Cap, CapSet

_TABLES = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
SIGNATURES: dict[str, str] = _TABLES["signatures"]
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


def _named(kind: str, otherwise: str, mask: int = 0xFFFFFFFF) -> Callable[[int], str]:
    names = {int(number, 0): name for number, name in _TABLES["words"][kind].items()}
    return lambda value: names.get(value & mask, otherwise.format(value & mask))


_WORDS: dict[str, Callable[[int], str]] = {
    "pid": lambda value: f"pid {signed(value)}" if signed(value) else "itself",
    "mode": lambda value: f"mode {value & 0o7777:04o}",
    "device": lambda value: f"device {os.major(value)}:{os.minor(value)}" if value else "",
    "open": _open,
    "signal": _signal,
    "family": _named("family", "family {}"),
    "type": _named("type", "type {}", 0xF),
    "request": _named("request", "request {:#x}"),
    "control": _named("control", "command {}"),
    "level": lambda value: f"level {value & 0xFFFF}",
    "option": lambda value: f"option {value & 0xFFFF}",
    "resource": _named("resource", "RLIMIT_{}", 0xFF),
    "prctl": lambda value: uapi.PRCTL.get(value & 0xFFFFFFFF, f"option {value & 0xFFFFFFFF}"),
    "bpf": _named("bpf", "command {}"),
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
    # only those at a fixed low address: MAP_FIXED, MAP_FIXED_NOREPLACE
    "mmap": "addr < 65536 && flags & 0x100010",
}
"""Filters for calls that are frequent but for the most part never checked."""

RESULTS: tuple[str, ...] = (*ARGUMENTS, *_TABLES["results"])
"""Calls whose result is recorded, whatever it is."""

REFUSABLE: dict[str, list[str]] = {
    call: row["caps"] for row in _TABLES["refusable"] for call in row["calls"]
}
"""Frequent calls → the capabilities whose lack can make them fail. Only their refusals are
recorded, and those of the most frequent only where the target lacks one of these: each costs a
few per cent."""


_RARE = frozenset(_TABLES["rare"])


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
