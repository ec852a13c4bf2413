"""The programs that read languages: spelling of names, what they grant, what wins.

Tried on docker 26.1, podman 5.4, systemd 257 and runc; containerd after its source
(internal/cri/opts WithCapabilities). Pod Security Admission compares names exactly.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from capadvise.model.caps import NAMES, Cap

if TYPE_CHECKING:
    from capadvise.config.declared import Declared

ALL = "ALL"


class Prefix(StrEnum):
    """``CAP_`` before a name."""

    MAY = "may"
    MUST = "must"
    MUST_NOT = "must not"


class Winner(StrEnum):
    """The winner if one name is both added and dropped."""

    ADD = "add"
    DROP = "drop"
    NEITHER = "neither"
    """The container is refused."""


@dataclass(frozen=True, slots=True)
class Consumer:
    """How a program reads the names in its file."""

    title: str
    """Its name in messages."""
    runtime: str | None
    """The runtime whose default set it starts from, as ``catalog/baselines`` calls it; None: none.
    """
    prefix: Prefix
    any_case: bool
    refuses: bool
    """A name that it does not know is an error; else it is left out without a word."""
    winner: Winner
    bounds_only: bool
    """For a user other than root, what is added only bounds what can be gained."""
    ambient: str = ""
    """The setting for what such a user has at the start; empty: there is none."""
    takes_all: bool = True
    """``ALL`` stands for every capability. Else it only says, in ``Declared.drop``, that what is
    added is everything."""
    takes_numbers: bool = False
    lacks: tuple[str, ...] = ()
    """Capabilities that it does not take by any name."""
    on_host: bool = False
    """Its services are no containers: they see the host's processes anyway."""
    filters: bool = True
    """It puts a seccomp filter and a MAC profile on what it starts, unless an option forbids it."""
    free_ports: str = ""
    """The condition under which a container may bind every port without a capability; empty: there
    is none."""
    opens_ports: bool = False
    """It always does so, whatever its version, in each network that is not the host's."""
    pod_security: bool = False
    """Before it, the API server of Kubernetes judges what is written: validation refuses some of
    it, and Pod Security Admission compares names exactly."""
    no_gain: str = "no-new-privileges:true"
    """How a service forbids its programs to gain privileges."""
    keeps_defaults: bool = False
    """Its files have no usual place for a set: that a container keeps the default one is no news.
    """
    own_users: str = ""
    """How a service gets a user namespace of its own; empty: not by its file."""

    def spelled(self, cap: Cap) -> str:
        """The name of a capability as this consumer wants it."""
        return cap.name if self.prefix is Prefix.MUST else cap.short

    def drops_all(self, declared: Declared) -> bool:
        """True if only the added capabilities are left."""
        return any(name.upper() == ALL for name in declared.drop)

    def parse(self, name: str) -> Cap | str | None:
        """The meaning of a name: a capability, ``ALL``, or None if it has no effect."""
        upper = name.upper() if self.any_case else name
        if upper == ALL and self.takes_all:
            return ALL
        if self.takes_numbers:
            number = capability_number(name)
            return None if number is None or number >= len(NAMES) else Cap(number)
        bare = upper.removeprefix("CAP_")
        broken = Prefix.MUST if bare == upper else Prefix.MUST_NOT
        known = bare in NAMES and bare not in self.lacks and self.prefix is not broken
        return Cap.parse(bare) if known else None


_NUMBER = r"([+-]?)(?:0[xX]([0-9a-fA-F]+)|0[bB]([01]+)|0[oO]?([0-7]+)|(0|[1-9][0-9]*))"
_LAST = 62


def capability_number(name: str) -> int | None:
    """The number of a capability as systemd reads its name (capability_from_name): with its prefix,
    in any case, or a number, which is octal with a leading zero. None if systemd does not know it.
    """
    if number := re.fullmatch(_NUMBER, name):
        sign, *digits = number.groups()
        value = next(int(each, base) for each, base in zip(digits, _BASES, strict=True) if each)
        return value if value <= (0 if sign == "-" else _LAST) else None
    upper = name.upper() if name.isascii() else name
    bare = upper.removeprefix("CAP_")
    return NAMES.index(bare) if bare != upper and bare in NAMES else None


_BASES = (16, 2, 8, 10)
