"""The declaration of one service in a configuration file: every language's ``read`` returns it."""

import re
from dataclasses import dataclass, field
from enum import StrEnum

_OTHER_UID = r"[1-9][0-9]*"
_NUMBER = r"[-+.]?[0-9][\w.+-]*"


def is_root(user: str | None) -> bool:
    """True if a ``user:``, ``User=`` or ``runAsUser`` is root, empty, or a number in a spelling
    (``00``, ``0x0``, ``+0``) that some reader takes for 0."""
    name = (user or "").partition(":")[0]
    odd = re.fullmatch(_NUMBER, name) is not None and re.fullmatch(_OTHER_UID, name) is None
    return name in ("", "root") or odd


def has_group(user: str | None) -> bool:
    """True if ``user:group`` names a group that is not the user's own, nobody's or root's."""
    name, _, group = (user or "").partition(":")
    return group not in ("", name, "0", "root", "65534", "nobody", "nogroup")


def may_be_root(user: str | None) -> bool:
    """True if it is root, or settled elsewhere: by a variable or a specifier."""
    return is_root(user) or not set((user or "").partition(":")[0]).isdisjoint("$%")


NEW = "0.3"
"""The version in which the gate began to ask what is known to be harmless."""


class Exposure(StrEnum):
    """A setting that gives back to a container what capabilities take from it."""

    HOST_NETWORK = "host-network"
    HOST_PROCESSES = "host-processes"
    SHARED_PROCESSES = "shared-processes"
    HOST_IPC = "host-ipc"
    HOST_NAME = "host-name"
    HOST_CGROUP = "host-cgroup"
    OWN_USERS = "own-users"
    """A user namespace of its own: this one restrains."""
    OWN_NETWORK = "own-network"
    """A network namespace of its own, where that is not the default: this one restrains."""
    OWN_IPC = "own-ipc"
    """The same, of IPC."""
    CONTROL_SOCKET = "control-socket"
    """A program that reaches it can start a privileged container."""
    SYSTEM_BUS = "system-bus"
    SYSTEM_FOLDER = "system-folder"
    """Programs, settings or secrets of the host, for writing."""
    READABLE_FOLDER = "readable-folder"
    """The same, for reading."""
    HOST_KERNEL = "host-kernel"
    """The host's /proc or /sys, for reading."""
    DISK = "disk"
    """A disk, the memory, or all devices."""
    ROOT_ACCESS = "root-access"
    """Files that systemd opens as root for a unit, or a group that may do what root may."""
    HOST_USERS = "host-users"
    """The host's user namespace, where the engine would give another."""
    OPEN_CALLS = "open-calls"
    """A seccomp filter that lets through calls that the default one forbids."""
    UNKNOWN = "unknown"
    """In no table: it is not judged."""
    UNFILTERED = "unfiltered"
    """Without a seccomp filter."""
    UNCONFINED = "unconfined"
    """Without AppArmor or SELinux."""
    UNMASKED = "unmasked"
    """With all of /proc and /sys."""
    PRIVILEGED_COMMAND = "privileged-command"
    """A command of the service that runs with all capabilities, beside it."""
    WINDOWS_HOST = "windows-host"
    """On Windows, a container that is a process of the node (``hostProcess``)."""
    HOST_COMMAND = "host-command"
    """A command of the file that runs on the host, outside of the container."""


@dataclass(frozen=True, slots=True)
class ExposureAt:
    """One exposure, with where it is written."""

    kind: Exposure
    what: str
    """The text in the file: ``/var/run/docker.sock``, ``pid: host``. Hostile."""
    line: int
    since: str = ""
    """The version of capadvise that finds it first; empty: all do."""


@dataclass(frozen=True, slots=True)
class Declared:
    """The declaration as written, not as the runtime reads it: no name is corrected, nothing is
    filled in."""

    service: str
    """The value of ``--service``: ``web``; for Kubernetes ``Deployment/web/app``. If the file's
    only service has no name, the language's own word for it."""
    line: int = 1
    """The first line of the service in its file, counted from 1."""
    drop: tuple[str, ...] = ()
    add: tuple[str, ...] = ()
    ambient: tuple[str, ...] | None = None
    """The capabilities that a user other than root has at the start. None: the language cannot say
    it, or did not (systemd), or it follows from ``add`` (podman, quadlet)."""
    privileged: bool = False
    user: str | None = None
    """None: the image or the unit's default decides."""
    no_new_privileges: bool | None = None
    """Kubernetes: ``allowPrivilegeEscalation: false``. None: not said."""
    lines: tuple[tuple[str, int], ...] = ()
    """(what, line) of single entries: ``privileged``, ``user``, ``no_new_privileges``, or a
    capability as written. None for a format without lines (JSON)."""
    unresolved: tuple[tuple[str, int], ...] = ()
    """(key, line) of what only the engine can fill in: a compose service that ``extends``
    another, and values of ours with a variable in them."""
    exposed: tuple[ExposureAt, ...] = ()
    """Other settings that give the service power over the host."""
    unjudged: tuple[tuple[str, int], ...] = ()
    """(sentence, line) of what may give more and cannot be judged from the file."""
    profiles: tuple[tuple[str, int], ...] = ()
    """(path, line) of seccomp filters that stand in files of their own."""
    filters: tuple[object, ...] = field(default=(), compare=False)
    """The content of these files: JSON values."""
    variables: tuple[tuple[str, int], ...] = ()
    """(source, line) of volumes that a variable settles."""
    withheld: tuple[tuple[str, str], ...] = ()
    """(capability, setting) of what other settings of a unit take away."""
    refused: tuple[tuple[str, str], ...] = ()
    """(what, sentence) of what its consumer refuses in this place, with why; ``what`` is an entry
    of ``lines``."""
    windows: bool = False
    """It runs on Windows, which has no capabilities."""
    aliases: tuple[str, ...] = ()
    """Other names: a quadlet with a ContainerName also has the name of its file."""
    image: str | None = None
    """A reference, as written; None where the file names none."""
    command: tuple[str, ...] = field(default=(), compare=False)
    """The words of its command, as written; empty where the file names none, or the image has the
    first word."""
    groups: bool = False
    """It has groups beyond its user's own: one can be that of a socket or a disk."""

    def exposes(self, *kinds: Exposure) -> bool:
        """True if it has any of these."""
        return any(item.kind in kinds for item in self.exposed)
