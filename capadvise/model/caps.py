"""Capabilities as numbers, names and sets, independent of this machine."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

NAMES = tuple(Path(__file__).with_name("capabilities.txt").read_text(encoding="ascii").split())
"""Value-indexed, from include/uapi/linux/capability.h."""

_NUMBERS = {name: number for number, name in enumerate(NAMES)}


class Cap(int):
    """One capability. A number that this version has no name for prints as ``CAP_55``."""

    __slots__ = ()

    def __new__(cls, number: int) -> Cap:
        if not 0 <= number <= 63:  # the kernel's sets have 64 bits
            raise ValueError(f"capability number {number} is not between 0 and 63")
        return super().__new__(cls, number)

    @classmethod
    def parse(cls, text: str) -> Cap:
        """``NET_RAW``, ``cap_net_raw`` or ``CAP_55``; raises ValueError for anything else."""
        name = text.strip().upper().removeprefix("CAP_")
        if name in _NUMBERS:
            return cls(_NUMBERS[name])
        if name.isdecimal() and name.isascii() and int(name) <= 63:
            return cls(int(name))
        raise ValueError(f"{text!r} is not the name of a capability")

    @property
    def short(self) -> str:
        """The name as containers spell it: ``NET_RAW``."""
        return NAMES[self] if self < len(NAMES) else f"CAP_{int(self)}"

    @property
    def name(self) -> str:
        """The name as the kernel spells it: ``CAP_NET_RAW``."""
        return f"CAP_{NAMES[self]}" if self < len(NAMES) else f"CAP_{int(self)}"

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"Cap({self.name})"


CapSet = frozenset[Cap]

SYS_ADMIN = Cap.parse("SYS_ADMIN")
"""The capability that floods: checked at nearly every mmap and exec."""
_FEW = 20
"""Nobody builds a set with more members than half of all from nothing."""


def is_reduced(asked: CapSet, left: CapSet) -> bool:
    """True if a program sets its own set with at most a few members removed. ``left``: the rest
    after it last removed some; empty before."""
    if len(asked) > _FEW:
        return True
    return asked <= left and (len(asked) * 2 > len(left) or len(left) - len(asked) <= 1)


@lru_cache(256)
def from_mask(mask: int) -> CapSet:
    """The set behind a bit mask as in ``/proc/PID/status``. A set takes 2 KB and most processes
    have one of a few, so they are kept."""
    return frozenset(Cap(bit) for bit in range(64) if mask >> bit & 1)


def names(caps: Iterable[Cap]) -> list[str]:
    """Kernel spelling, in the order of the numbers."""
    return [cap.name for cap in sorted(caps)]


def parse_set(texts: Iterable[str]) -> CapSet:
    """Names to a set; raises ValueError on the first that is not a capability."""
    return frozenset(Cap.parse(text) for text in texts)


def mask_of(caps: Iterable[Cap]) -> int:
    """The bit mask of a set."""
    return sum(1 << cap for cap in caps)


class Sets(NamedTuple):
    """The five capability sets of a process."""

    inheritable: CapSet
    permitted: CapSet
    effective: CapSet
    bounding: CapSet
    ambient: CapSet


class Credentials(NamedTuple):
    """The credentials of a process, and what else limits it."""

    program: str
    uids: str
    """Real, effective and saved; one number if they are equal."""
    gids: str
    groups: str = ""
    """The other groups."""
    masks: tuple[int, ...] = (0,) * len(Sets._fields)
    """As ``Sets`` has them."""
    no_new_privs: int = 0
    filters: int = 0
    """Seccomp filters."""

    @property
    def user(self) -> tuple[str, ...]:
        """Program, users and groups."""
        return self[:4]


def setcap_words(caps: Iterable[Cap]) -> str:
    """``cap_chown,cap_kill=ep``."""
    named = (cap.name.lower() if cap < len(NAMES) else str(int(cap)) for cap in sorted(caps))
    return f"{','.join(named)}=ep"
