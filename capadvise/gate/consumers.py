"""Who reads which format, and how: spelling of names, what is granted, what wins.

Tried on docker 26.1, podman 5.4, systemd 257 and runc; containerd after its source
(internal/cri/opts WithCapabilities). Pod Security Admission compares names exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from capadvise.catalog import Catalog
from capadvise.formats.declared import Declared
from capadvise.formats.systemd import capability_number
from capadvise.formats.user_names import may_be_root
from capadvise.model.caps import NAMES, Cap, CapSet

ALL = "ALL"
EVERY: CapSet = frozenset(Cap(number) for number in range(len(NAMES)))


class Prefix(StrEnum):
    """``CAP_`` before a name."""

    MAY = "may"
    MUST = "must"
    MUST_NOT = "must not"


class Winner(StrEnum):
    """Which counts when one name is both added and dropped."""

    ADD = "add"
    DROP = "drop"
    NEITHER = "neither"
    """The container is refused."""


@dataclass(frozen=True, slots=True)
class Consumer:
    """What a program makes of the names in its file."""

    title: str
    """How messages call it."""
    runtime: str | None
    """Whose default set it starts from, as ``catalog/baselines`` calls it; None: none."""
    prefix: Prefix
    any_case: bool
    refuses: bool
    """A name that it does not know is an error; else it is left out without a word."""
    winner: Winner
    bounds_only: bool
    """For a user other than root, what is added only bounds what can be gained."""
    ambient: str = ""
    """Where it is said what such a user has at the start; empty: nowhere."""
    takes_all: bool = True
    """``ALL`` stands for every capability. Else it only says, in ``Declared.drop``, that what is
    added is everything."""
    takes_numbers: bool = False
    on_host: bool = False
    """What it starts is no container: it sees the host's processes anyway."""
    filters: bool = True
    """It puts a seccomp filter and a MAC profile on what it starts, unless told otherwise."""
    free_ports: str = ""
    """Where it lets a container bind every port without a capability; empty: nowhere."""
    opens_ports: bool = False
    """It always does so, whatever its version, in each network that is not the host's."""
    no_gain: str = "no-new-privileges:true"
    """How a service forbids its programs to gain privileges."""
    own_users: str = ""
    """How a service gets a user namespace of its own; empty: not by its file."""

    def spelled(self, cap: Cap) -> str:
        """A capability as this consumer wants it."""
        return cap.name if self.prefix is Prefix.MUST else cap.short

    def drops_all(self, declared: Declared) -> bool:
        """Whether nothing is left but what is added."""
        return any(name.upper() == ALL for name in declared.drop)

    def parse(self, name: str) -> Cap | str | None:
        """What a name stands for: a capability, ``ALL``, or None where it has no effect."""
        upper = name.upper() if self.any_case else name
        if upper == ALL and self.takes_all:
            return ALL
        if self.takes_numbers:
            number = capability_number(name)
            return None if number is None or number >= len(NAMES) else Cap(number)
        bare = upper.removeprefix("CAP_")
        broken = Prefix.MUST if bare == upper else Prefix.MUST_NOT
        return Cap.parse(bare) if bare in NAMES and self.prefix is not broken else None


CONSUMERS: dict[str, Consumer] = {
    "compose": Consumer(
        "docker",
        "docker",
        Prefix.MAY,
        any_case=True,
        refuses=True,
        winner=Winner.ADD,
        bounds_only=True,
        free_ports="In docker, ports need it only with network_mode: host.",
        opens_ports=True,
        own_users='Start dockerd with "userns-remap" for all its containers',
    ),
    "kubernetes": Consumer(
        "containerd",
        "containerd",
        Prefix.MUST_NOT,
        any_case=True,
        refuses=False,
        winner=Winner.DROP,
        bounds_only=True,
        filters=False,
        free_ports="With containerd 2, ports need it only with hostNetwork: true.",
        no_gain="allowPrivilegeEscalation: false",
        own_users="Set hostUsers: false in the pod's spec",
    ),
    "quadlet": Consumer(
        "podman",
        "podman",
        Prefix.MAY,
        any_case=True,
        refuses=True,
        winner=Winner.NEITHER,
        bounds_only=False,
        no_gain="NoNewPrivileges=true",
        own_users="Set UserNS=auto",
    ),
    "systemd": Consumer(
        "systemd",
        None,
        Prefix.MUST,
        any_case=True,
        refuses=False,
        winner=Winner.ADD,
        bounds_only=True,
        ambient="AmbientCapabilities=",
        takes_all=False,
        takes_numbers=True,
        on_host=True,
        filters=False,
        no_gain="NoNewPrivileges=true",
        own_users="Set PrivateUsers=identity (systemd 257)",
    ),
    "oci": Consumer(
        "runc",
        None,
        Prefix.MUST,
        any_case=False,
        refuses=False,
        winner=Winner.ADD,
        bounds_only=True,
        ambient="process.capabilities.ambient",
        takes_all=False,
        no_gain="process.noNewPrivileges: true",
    ),
}


def granted(declared: Declared, consumer: Consumer, catalog: Catalog) -> CapSet:
    """The bounding set that a service is started with, names without effect left out. Of a unit's
    user whom no program can give more, what he has from the start."""
    if declared.privileged:
        return EVERY
    if declared.windows and not declared.add:
        return frozenset()
    withheld = frozenset(Cap.parse(name) for name, _ in declared.withheld)
    listed = _listed(declared, consumer, catalog) - withheld
    if consumer.on_host and declared.no_new_privileges and not may_be_root(declared.user):
        return listed & {consumer.parse(name) for name in declared.ambient or ()}
    return listed


def _listed(declared: Declared, consumer: Consumer, catalog: Catalog) -> CapSet:
    """What the lists come to."""
    add = {consumer.parse(name) for name in declared.add}
    drop = {consumer.parse(name) for name in declared.drop}
    adds = frozenset(cap for cap in add if isinstance(cap, Cap))
    drops = frozenset(cap for cap in drop if isinstance(cap, Cap))
    nothing = consumer.drops_all(declared)
    if consumer.winner is Winner.DROP:
        base = defaults(consumer, catalog) if ALL not in add else EVERY
        return ((frozenset() if nothing else base) | adds) - drops
    if ALL in add:
        return EVERY - drops
    if nothing:
        return adds
    return defaults(consumer, catalog) - drops | adds


def defaults(consumer: Consumer, catalog: Catalog) -> CapSet:
    """What is granted where nothing is said."""
    runtimes = catalog.baselines.runtimes
    return next((item.grants for item in runtimes if item.name == consumer.runtime), EVERY)
