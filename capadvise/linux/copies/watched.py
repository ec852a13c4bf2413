"""The calls at which copies are made. Pure.

Programs are often refused them, and do without; or they end, and say why. What a program is for
that goes on after a refused setuid(2) or bind(2), copies do not tell: see ``asides``.
"""

from __future__ import annotations

from capadvise.linux.kernel.seccomp_program import ArgumentTest, How, Only, notifying

MACHINE = "x86_64"
"""Where it was tried. The numbers below, and ``thread``, are of this processor."""
ARCH = 0xC000003E
"""AUDIT_ARCH_X86_64, linux/audit.h."""
NUMBERS = {
    **{"bind": 49, "setuid": 105, "setgid": 106, "setreuid": 113, "setregid": 114},
    **{"setgroups": 116, "setresuid": 117, "setresgid": 119, "mknod": 133, "chroot": 161},
    **{
        "mknodat": 259,
        "ioctl": 16,
        "setsockopt": 54,
        "chmod": 90,
        "fchmod": 91,
        "chown": 92,
        "fchown": 93,
    },
    **{"lchown": 94, "setpriority": 141, "sched_setparam": 142, "sched_setscheduler": 144},
    **{"mlock": 149, "mlockall": 151, "setrlimit": 160, "acct": 163, "setxattr": 188},
    **{"lsetxattr": 189, "fsetxattr": 190, "utimes": 235, "ioprio_set": 251, "fchownat": 260},
    **{"fchmodat": 268, "utimensat": 280, "prlimit64": 302, "sched_setattr": 314, "mlock2": 325},
    "fchmodat2": 452,
}
"""asm/unistd_64.h. Of the catalog's table, which takes longer to load than a start may wait."""
NAMES = {number: name for name, number in NUMBERS.items()}

_FAMILIES = (
    ("chown", "fchown", "lchown", "fchownat"),
    ("chmod", "fchmod", "fchmodat", "fchmodat2"),
    ("setxattr", "lsetxattr", "fsetxattr"),
    ("utimes", "utimensat"),
    ("setpriority", "sched_setparam", "sched_setscheduler", "sched_setattr", "ioprio_set"),
    ("mlock", "mlockall", "mlock2"),
    ("setrlimit", "prlimit64"),
    ("setuid", "setreuid", "setresuid"),
    ("setgid", "setregid", "setresgid", "setgroups"),
    ("mknod", "mknodat"),
)
_ALONE = ("ioctl", "setsockopt", "acct", "bind", "chroot")
FAMILY = {
    **{name: frozenset(family) for family in _FAMILIES for name in family},
    **{name: frozenset([name]) for name in _ALONE},
}
"""What a program tries next where it was refused one: that is refused as well."""
MADE = frozenset((*_FAMILIES[7], *_FAMILIES[8], "chroot"))
"""Those that change nothing but the caller, which often looks at what it is then: a copy makes
them, where they are not refused to it."""
PRETENDED = frozenset(FAMILY) - MADE - {"ioctl", "acct", "bind", "mknod", "mknodat"}
"""Calls that a copy is told have succeeded, where it is about another one: they return nothing but
that."""
_EPERM, _EACCES = 1, 13
ERRORS = {name: _EACCES if name == "bind" else _EPERM for name in FAMILY}
"""What a call fails with that is refused."""


def _equal(arg: int, value: int) -> ArgumentTest:
    return ArgumentTest(arg, How.EQUAL, value)


_SOCKET_OPTIONS = (
    # SOL_SOCKET: SO_DEBUG, SO_PRIORITY, SO_BINDTODEVICE, SO_SNDBUFFORCE, SO_RCVBUFFORCE, SO_MARK,
    # SO_BUSY_POLL, SO_TXTIME, SO_BINDTOIFINDEX, SO_PREFER_BUSY_POLL, SO_BUSY_POLL_BUDGET,
    # SO_RESERVE_MEM, SO_RCVMARK
    *((1, option) for option in (1, 12, 25, 32, 33, 36, 46, 61, 62, 69, 70, 73, 75)),
    *((0, 19), (41, 75)),  # IP_TRANSPARENT, IPV6_TRANSPARENT
)
"""(level, option) of those that can take a capability: sk_setsockopt() of net/core/sock.c."""
_INTERFACE_REQUESTS = (
    *(0x890B, 0x890C),  # SIOCADDRT, SIOCDELRT
    # SIOCSIF: FLAGS, ADDR, DSTADDR, BRDADDR, NETMASK, METRIC, MTU, NAME, HWADDR, HWBROADCAST
    *(0x8914, 0x8916, 0x8918, 0x891A, 0x891C, 0x891E, 0x8922, 0x8923, 0x8924, 0x8937),
    *(0x8931, 0x8932, 0x8943, 0x8946),  # SIOCADDMULTI, SIOCDELMULTI, SIOCSIFTXQLEN, SIOCETHTOOL
    *(0x8947, 0x8948, 0x8949, 0x8953, 0x8955, 0x89B0),  # MII, ARP, SIOCSHWTSTAMP
    *(0x8936, 0x8971, 0x89A2, 0x89A3),  # SIOCDIFADDR, SIOCSIFMAP, SIOCBRADDIF, SIOCBRDELIF
    *range(0x8990, 0x8996),  # bonding
)
"""Requests to a network interface that can take a capability: dev_ioctl() of
net/core/dev_ioctl.c."""
_NEW_LIMIT = 2
"""Without a new limit, prlimit64 asks for the old one: every program does at its start."""
_WITH = {
    "ioctl": [[_equal(1, request)] for request in _INTERFACE_REQUESTS],
    "setsockopt": [[_equal(1, level), _equal(2, option)] for level, option in _SOCKET_OPTIONS],
    "prlimit64": [[ArgumentTest(_NEW_LIMIT, How.NONZERO)]],
}
"""Calls that are watched only where all of one of these lists holds."""
_PRCTL, _PR_SET_CHILD_SUBREAPER = 157, 36
_VARIANT_AT = {"ioctl": 1, "setsockopt": 2, "setrlimit": 0, "prlimit64": 1}


def program() -> bytes:
    """The seccomp filter. It asks about ``adopts``, too."""
    only = {NUMBERS[name]: Only(tuple(map(tuple, ways))) for name, ways in _WITH.items()}
    only[_PRCTL] = Only(((_equal(0, _PR_SET_CHILD_SUBREAPER),),))
    return notifying(ARCH, (*NUMBERS.values(), _PRCTL), only)


def adopts(number: int, args: tuple[int, ...]) -> bool:
    """Whether by this call a process becomes the parent of its descendants' orphans: of copies,
    too, of whose end it would hear."""
    return number == _PRCTL and args[0] & 0xFFFFFFFF == _PR_SET_CHILD_SUBREAPER


def watched(number: int, args: tuple[int, ...]) -> str | None:
    """The name of a call, if it is one at which copies are made."""
    name = NAMES.get(number)
    if name in _WITH and not any(all(_holds(test, args) for test in way) for way in _WITH[name]):
        return None
    return name


def variant(name: str, args: tuple[int, ...]) -> int:
    """What a call is about that does several things; 0 for others. ``args``: six, or none where
    they are not known."""
    return args[_VARIANT_AT[name]] & 0xFFFFFFFF if name in _VARIANT_AT and args else 0


def _holds(test: ArgumentTest, args: tuple[int, ...]) -> bool:
    value = args[test.arg]
    return bool(value) if test.how is How.NONZERO else value & 0xFFFFFFFF == test.value
