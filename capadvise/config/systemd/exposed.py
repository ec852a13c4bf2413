"""What a systemd unit gives beside its capabilities, and what its other settings take away."""

from __future__ import annotations

from collections.abc import Iterator

from capadvise.config.declared import Exposure, ExposureAt
from capadvise.config.units.file import Assignment, Section, flag_of, split, words

_PREFIXES = "@-:+!|"
WITHHELD = {
    "PrivateDevices": ("MKNOD", "SYS_RAWIO"),
    "ProtectKernelModules": ("SYS_MODULE",),
    "ProtectKernelLogs": ("SYSLOG",),
    "ProtectClock": ("SYS_TIME", "WAKE_ALARM"),
}
"""Setting → what systemd takes out of the bounding set (unit_patch_contexts)."""
_PRIVATE_USERS = ("self", "identity", "full", "managed")
_GROUPS = {
    **dict.fromkeys(("docker", "podman", "lxd", "incus-admin", "libvirt"), Exposure.CONTROL_SOCKET),
    **dict.fromkeys(("disk", "kmem"), Exposure.DISK),
}
"""Root-equivalent groups, and what they reach."""


def withheld(service: Section) -> Iterator[tuple[str, str]]:
    """(capability, setting) of all that settings take away."""
    for key, caps in WITHHELD.items():
        if service.flag(key):
            yield from ((cap, key) for cap in caps)


def exposed(service: Section) -> Iterator[ExposureAt]:
    """Commands with all capabilities, groups that control an engine or a disk, and whether it has
    a user namespace of its own."""
    unrestrained = service.flag("PermissionsStartOnly") is True
    for key in dict.fromkeys(item.key for item in service.assignments):
        if not key.startswith("Exec"):
            continue
        for item in service.values(key):
            if has_plus(item) or (unrestrained and key != "ExecStart"):
                yield ExposureAt(Exposure.PRIVILEGED_COMMAND, f"{key}={item.value}", item.line)
    yield from _own_users(service)
    for key in ("Group", "SupplementaryGroups"):
        for group, line in words(service.values(key)):
            if group in _GROUPS:
                yield ExposureAt(_GROUPS[group], f"{key}={group}", line)


def _own_users(service: Section) -> Iterator[ExposureAt]:
    """systemd passes over a value that it does not know."""
    values = service.values("PrivateUsers")
    known = [x for x in values if x.value in _PRIVATE_USERS or flag_of(x.value) is not None]
    if known and flag_of(known[-1].value) is not False:
        yield ExposureAt(Exposure.OWN_USERS, f"PrivateUsers={known[-1].value}", known[-1].line)


def has_plus(command: Assignment) -> bool:
    """Whether a command, or one of several, has the prefix that gives it all capabilities."""
    return any("+" in prefix for prefix in _prefixes(command))


def keeps_root(service: Section) -> bool:
    """Whether a command runs as root whatever User= says: ``!``. (``!!`` no longer does that.)"""
    keys = dict.fromkeys(x.key for x in service.assignments if x.key.startswith("Exec"))
    commands = (command for key in keys for command in service.values(key))
    return any(prefix.count("!") == 1 for each in commands for prefix in _prefixes(each))


def _prefixes(command: Assignment) -> Iterator[str]:
    """Of each command. Quotes and escapes count: systemd takes them off first."""
    begins = True
    for word in split(command.value, command.line, "shell-like"):
        if begins:
            yield word[: len(word) - len(word.lstrip(_PREFIXES))]
        begins = word == ";"
