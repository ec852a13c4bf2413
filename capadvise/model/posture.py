"""Restraints of a process other than its capabilities, as values, and a process with them.

``None`` means everywhere: it could not be read.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from capadvise.model.caps import CapSet, Sets

NAMESPACES = ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup", "time")
"""Names in ``/proc/PID/ns``; the one that decides the worth of a capability comes first."""


class Sharing(StrEnum):
    """The owner of a namespace."""

    OWN = "own"
    HOST = "host"
    """The machine: it is the initial one."""
    UNKNOWN = "unknown"
    """It could not be read, or nothing tells from inside."""


@dataclass(frozen=True, slots=True)
class Seccomp:
    """The filter of system calls."""

    mode: str
    """``off``, ``strict`` or ``filter``."""
    filters: int | None = None
    """How many filters are stacked; since Linux 5.9."""


@dataclass(frozen=True, slots=True)
class Mac:
    """Mandatory access control: AppArmor, SELinux, Smack."""

    module: str
    label: str
    mode: str | None
    """``enforce``, ``complain``, ``permissive``, ``unconfined`` …"""


@dataclass(frozen=True, slots=True)
class Cgroup:
    """The control group."""

    version: str
    """``v1``, ``v2`` or ``hybrid``."""
    path: str
    """Its path in the hierarchy of the machine, or of the reader's cgroup namespace."""
    writable: bool | None
    """Its tree is mounted writable inside: then SYS_ADMIN or root can change limits, and with v1
    run programs on the host (release_agent)."""
    limits: dict[str, str] = field(default_factory=dict)
    """By file name: ``memory.max``; only those that are set."""


@dataclass(frozen=True, slots=True)
class Exposed:
    """A mount that exposes something of the host."""

    kind: str
    """``host-root``, ``host-folder``, ``engine-socket``, ``device``, ``devices``, ``proc``,
    ``sys``, ``debugfs``, ``tracefs``; ``no-idmap``: a volume whose file system cannot show its
    files under other ids."""
    target: str
    """Its path inside."""
    writable: bool
    source: str
    """A path or a device of the host; for ``no-idmap``, the type."""


@dataclass(frozen=True, slots=True)
class Root:
    """The root file system and what else is mounted."""

    type: str
    """``overlay``, ``ext4`` …"""
    read_only: bool
    layers: int | None = None
    """Lower layers of an overlay."""
    host: bool | None = None
    """It is the root of the machine itself."""
    exposed: tuple[Exposed, ...] = ()


@dataclass(frozen=True, slots=True)
class User:
    """The user of the process, as seen from inside its user namespace."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    host_uid: int | None = None
    """The effective user as the reader's user namespace knows it: 0 is root of the machine."""
    rootless: bool | None = None
    """Its user namespace maps its root to an ordinary user."""


@dataclass(frozen=True, slots=True)
class Posture:
    """Restraints of the target in its place, and other facts that decide what it needs."""

    sysctls: dict[str, str] = field(default_factory=dict)
    namespaces: dict[str, Sharing] = field(default_factory=dict)
    """By the names in NAMESPACES; those that the kernel does not have are missing."""
    no_new_privs: bool | None = None
    securebits: tuple[str, ...] | None = None
    """Names as in capabilities(7): ``NOROOT``. Only a process itself can read them."""
    seccomp: Seccomp | None = None
    mac: Mac | None = None
    """None also where no such module is active."""
    cgroup: Cgroup | None = None
    root: Root | None = None
    user: User | None = None
    sandbox: str | None = None
    """``gvisor`` or ``kata``: the kernel that answers is not the host's."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """One process: what it holds and what restrains it. Names are hostile: escape them."""

    pid: int
    program: str
    argv: tuple[str, ...]
    sets: Sets
    posture: Posture
    container: str | None = None
    """``docker container web``; None if no engine was asked."""
    closed: tuple[tuple[str, CapSet], ...] | None = None
    """Calls that the filter refuses though the granted capabilities would open them, and those
    capabilities; None if the filter was not read."""
    unread: tuple[str, ...] = ()
    """The parts that we may not read, one sentence each."""

    @property
    def of_setuid_root(self) -> CapSet:
        """The capabilities that a set-user-ID root program started from here would get
        (capabilities(7): the transformation at execve, with the whole set in the file)."""
        sets, posture = self.sets, self.posture
        if posture.no_new_privs:
            return sets.permitted & sets.ambient
        if "NOROOT" in (posture.securebits or ()):
            return sets.ambient
        return sets.bounding | sets.inheritable
