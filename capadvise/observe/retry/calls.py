"""The system calls that are stopped, and how each is handled. Pure: names, no numbers.

A call is stopped if the kernel can refuse it because a capability is missing, according to
``catalog/errnos.yaml``. Calls that are too frequent and almost never refused (``UNSTOPPED``) are
stopped only in a process that holds a file of /proc or /sys, where they can be.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from capadvise.kernel.seccomp_program import ArgumentTest, How, Only


class Handling(IntEnum):
    """How a call is handled."""

    PLAIN = 0
    """First without capabilities, then with one candidate at a time."""
    FULL = 1
    """With the program's own set: a refusal would be silent, or credentials are captured."""
    CAPTURE = 2
    """First without; once the needed capability is known, with the program's own set."""
    OPEN = 3
    SEND = 4
    CHMOD = 5
    UIDS = 6
    CAPSET = 7
    CAPGET = 8
    EXEC = 9
    SOCKET = 10
    NAMESPACE = 11
    """unshare, setns, clone: full where a user namespace is in play."""
    SECCOMP = 12
    PTRACE = 13
    CHDIR = 14
    READ = 15
    DESCRIPTOR = 16
    """Opens or closes descriptors."""
    PROBE = 17
    """Only tests if something would be allowed."""


_TABLES = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
_HANDLED: dict[str, list[str]] = _TABLES["handled"]
HANDLING = {name: Handling[kind] for kind, names in _HANDLED.items() for name in names}
"""How each call is handled that is not plain."""

UNSTOPPED = frozenset(name for names in _TABLES["unstopped"].values() for name in names)
"""The reason of each group is its name."""
MORE = (*_HANDLED["FULL"], "capget", "capset")
"""Calls that are stopped though none of their errors names a capability."""


def stopped(rows: Iterable[str]) -> frozenset[str]:
    """The calls to stop, given the calls of the error table."""
    return (frozenset(rows) | frozenset(MORE)) - UNSTOPPED


def _equal(arg: int, *values: int) -> tuple[tuple[ArgumentTest, ...], ...]:
    return tuple((ArgumentTest(arg, How.EQUAL, value),) for value in values)


def _unless(arg: int, *values: int) -> tuple[ArgumentTest, ...]:
    return tuple(ArgumentTest(arg, How.EQUAL, value) for value in values)


_ALARM_CLOCKS = (8, 9)  # CLOCK_REALTIME_ALARM, CLOCK_BOOTTIME_ALARM
_MAP_LOCKED, _MAP_FIXED, _MMAP_MIN_ADDR = 0x2000, 0x10 | 0x100000, 1 << 16
_AT_EACCESS, _MADV_POISON, _O_NOATIME = 0x200, 0x60, 0o1000000
_F_SETFL, _F_SETLEASE, _F_SETPIPE_SZ = 4, 1024, 1031

ONLY: dict[str, Only] = {
    "mmap": Only(
        (
            (ArgumentTest(3, How.BITS, _MAP_LOCKED),),
            (
                ArgumentTest(3, How.BITS, _MAP_FIXED),
                ArgumentTest(0, How.BELOW, _MMAP_MIN_ADDR),
            ),
        )
    ),
    "madvise": Only(((ArgumentTest(2, How.BITS, _MADV_POISON),),)),
    "fcntl": Only(
        (
            (ArgumentTest(1, How.EQUAL, _F_SETFL), ArgumentTest(2, How.BITS, _O_NOATIME)),
            *_equal(1, _F_SETLEASE, _F_SETPIPE_SZ),
        )
    ),
    # each program asks for its own RLIMIT_STACK when it starts
    "prlimit64": Only(((ArgumentTest(0, How.BITS, 0xFFFFFFFF),), (ArgumentTest(2, How.NONZERO),))),
    "ioctl": Only(
        unless=_unless(  # the terminal's and FIONREAD, FIONBIO, FIOCLEX, FIONCLEX: never checked
            1,
            *(0x5401, 0x5402, 0x5403, 0x5404, 0x540F, 0x5410),
            *(0x5413, 0x541B, 0x5421, 0x5450, 0x5451),
        )
    ),
    "prctl": Only(  # PDEATHSIG, NAME, CHILD_SUBREAPER, GET_DUMPABLE, CAPBSET_READ, SET_VMA
        unless=_unless(0, 1, 2, 15, 16, 36, 37, 3, 23, 0x53564D41)
    ),
    "faccessat2": Only(((ArgumentTest(3, How.BITS, _AT_EACCESS),),)),
    "clock_nanosleep": Only(_equal(0, *_ALARM_CLOCKS)),
    "timer_create": Only(_equal(0, *_ALARM_CLOCKS)),
    "timerfd_create": Only(_equal(0, *_ALARM_CLOCKS)),
    "getsockopt": Only(_equal(1, 0, 41)),  # SOL_IP, SOL_IPV6: the tables of packet filters
}
"""Calls that are stopped only with some arguments."""

SILENT_FILES = frozenset(map(str.encode, _TABLES["silent files"]))
"""Files of /proc that show less without a capability, and give no error."""

I386 = 0x40000003
"""AUDIT_ARCH_I386, linux/audit.h: 32-bit programs, and ``int 0x80`` of others."""
_RENAMED = {"fstatat64": "newfstatat", "mmap2": "mmap", "mmap": "old_mmap"}
_WIDENED = ("_time64", "64", "32")
"""Suffixes of i386's names for calls whose arguments were once shorter."""
_MULTIPLEXED = frozenset(("socketcall", "ipc"))
"""Calls whose real call is an argument in memory."""


@dataclass(frozen=True, slots=True)
class Call:
    """A system call that is looked at."""

    name: str
    handling: Handling


@dataclass(frozen=True, slots=True)
class Interface:
    """One way into the kernel, with numbers of its own."""

    arch: int
    """AUDIT_ARCH_*, linux/audit.h."""
    capset: int
    calls: Mapping[int, Call]
    """All calls that are handled when they stop."""
    stopped: frozenset[int]
    """The calls that the filter stops,"""
    only: Mapping[int, Only]
    """some of them only with some arguments."""


def interface(arch: int, numbers: Mapping[str, int], rows: Iterable[str]) -> Interface:
    """The calls of one way into the kernel, given the calls of the error table."""
    rows = frozenset(rows)
    stop = stopped(rows)
    looked_at = stop | HANDLING.keys() | rows
    names = {number: name for name, number in numbers.items()}
    if arch == I386:
        names = {number: _known_as(name, looked_at) for number, name in names.items()}
        stop, looked_at = stop | _MULTIPLEXED, looked_at | _MULTIPLEXED
    return Interface(
        arch,
        numbers["capset"],
        {
            number: Call(name, HANDLING.get(name, Handling.PLAIN))
            for number, name in names.items()
            if name in looked_at
        },
        frozenset(number for number, name in names.items() if name in stop),
        {number: ONLY[name] for number, name in names.items() if name in stop and name in ONLY},
    )


def _known_as(name: str, known: Collection[str]) -> str:
    """The name of an i386 call on the other machines."""
    if name in _RENAMED or name in known:
        return _RENAMED.get(name, name)
    for suffix in _WIDENED:
        if name.removesuffix(suffix) in known:
            return name.removesuffix(suffix)
    return name
