"""systemd: the section of a unit that says how its processes run."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath

from capadvise.catalog import default
from capadvise.config import host_paths
from capadvise.config.consumer import capability_number
from capadvise.config.declared import Declared, Exposure, ExposureAt, is_root
from capadvise.config.snippet import Snippet, comment
from capadvise.config.units.file import Assignment, Section, flag_of, parse, split, together, words
from capadvise.config.units.names import service_name as service_name
from capadvise.config.units.names import specified, unit_of, unit_section, unit_suffix
from capadvise.judgement.harm import ambient_refused
from capadvise.model.caps import NAMES
from capadvise.model.errors import BadInput
from capadvise.model.target import IDLE_KINDS, UNIT_KINDS, recorded_unit
from capadvise.model.wording import set_text


def render(snippet: Snippet) -> str:
    """A drop-in. An empty value takes back what the unit says, to which these would be added."""
    unit = recorded_unit(snippet.argv) or f"{snippet.name}.service"
    lines = [
        f"# {drop_in_of(unit)}\n",
        snippet.comments(more=tuple(_notes(snippet))),
        f"[{UNIT_KINDS[PurePath(unit).suffix]}]\nCapabilityBoundingSet=\n",
    ]
    for cap, reason in snippet.caps:
        lines.append(comment(f"{cap.short}: {reason}"))
        lines.append(f"CapabilityBoundingSet={cap.name}\n")
    lines.append("AmbientCapabilities=\n")
    if snippet.caps and not snippet.root:
        lines.append(f"AmbientCapabilities={' '.join(cap.name for cap, _ in snippet.caps)}\n")
    if snippet.hardening:
        lines.append(comment("it was proven to work with all of these together"))
        lines += [f"{line}\n" for line in snippet.hardening]
    elif snippet.hardening is None and snippet.no_new_privileges:
        lines.append("NoNewPrivileges=true\n")
    return "".join(lines)


def drop_in_of(unit: str) -> str:
    """The path of capadvise's drop-in for a unit. Those of ``systemctl edit`` (override.conf) are
    sorted after it, and count for more."""
    return f"/etc/systemd/system/{unit}.d/capadvise.conf"


def _notes(snippet: Snippet) -> Iterator[str]:
    if recorded_unit(snippet.argv):  # then its files say who it is
        return
    if not snippet.root:
        yield f"recorded as user {snippet.user}: the unit's own User= is left as it is"
    elif far := ambient_refused((cap for cap, _ in snippet.caps), default()):
        yield (
            "recorded as root: a unit with another User= needs a report of that user; "
            f"{set_text(far)} in AmbientCapabilities= would make it root"
        )
    else:
        yield (
            "recorded as root: a unit with another User= also needs AmbientCapabilities= with "
            "the same list"
        )


def read(source: str, path: str = "") -> tuple[Declared, ...]:
    """The service of a unit or a drop-in, called ``service``: a unit's name is that of its file,
    whose kind says which section counts. A drop-in need not say anything of it. A timer, a target
    and other units that run nothing have no service."""
    services = read_together((source,), path)
    return () if unit_suffix(path) in IDLE_KINDS else services


def read_together(sources: Sequence[str], path: str) -> tuple[Declared, ...]:
    """The service of a unit, as its drop-ins, which follow it, change it."""
    units = [parse(source) for source in sources]
    drop_in = path.endswith(".conf") or unit_suffix(path) in IDLE_KINDS
    whole = together(units, unit_section(path), drop_in=drop_in)
    return (declared(specified(whole, path, _WITH_SPECIFIERS), path),)


def declared(service: Section, path: str) -> Declared:
    """The declaration of a section, or of the sections of a unit and its drop-ins together."""
    drop, add, places = _bounding(service, path)
    user = service.last("User")
    name = user.value if user else ("dynamic" if service.flag("DynamicUser") else None)
    other = not is_root(name) or (name is None and path.endswith(".conf"))
    ambient = _ambient(service)
    bounding = {name for name, _ in places}
    named = [(cap, line) for cap, line in ambient if cap not in bounding]
    one = Declared(
        service="service",
        line=service.line,
        drop=drop,
        add=add,
        ambient=tuple(cap for cap, _ in ambient) if service.all("AmbientCapabilities") else None,
        user=None if _keeps_root(service) else name,
        command=_command(service),
        groups=any(map(service.values, ("Group", "SupplementaryGroups"))),
        no_new_privileges=service.flag("DynamicUser") or service.flag("NoNewPrivileges"),
        lines=(*([("user", user.line)] if user else []), *places, *named),
        exposed=(*_exposed(service, path), *(_as_root(service, path) if other else ())),
        withheld=tuple(_withheld(service)),
    )
    return _of_user(one, service) if is_of_user(path) else one


_NO_CAPABILITIES = (
    "It is a unit of a user's manager, which has no capabilities: its start fails with "
    "218/CAPABILITIES. A system unit with User= can have them."
)


def is_of_user(path: str) -> bool:
    """True if a unit lies where the manager of a user looks for its units."""
    return PurePath(os.path.abspath(unit_of(path))).parent.parts[-2:] == ("systemd", "user")


def _of_user(one: Declared, service: Section) -> Declared:
    """A unit without rights of its own, and the sets that its manager cannot give to it, unless
    some setting makes a user namespace."""
    settings = map(service.last, default().host.lists["own-users-by"])
    said: dict[str, object] = {
        "CapabilityBoundingSet": one.drop,
        "AmbientCapabilities": one.ambient,
    }
    places = [
        (f"{key}=", service.all(key)[-1].line) for key in said if said[key] and service.all(key)
    ]
    if any(item and flag_of(item.value) is not False for item in settings):
        places = []
    return replace(
        one,
        drop=one.drop or ("ALL",),
        user=one.user or "of the manager",
        lines=(*one.lines, *places),
        refused=tuple((what, _NO_CAPABILITIES) for what, _ in places),
    )


def _runs(service: Section, path: str) -> bool:
    """False for a socket without commands: its service has a file of its own."""
    commands = any(item.key.startswith("Exec") for item in service.assignments)
    return commands or unit_suffix(path) != ".socket"


def _bounding(
    service: Section, path: str
) -> tuple[tuple[str, ...], tuple[str, ...], list[tuple[str, int]]]:
    """(drop, add, lines) of ``CapabilityBoundingSet=``; names that systemd does not know are in
    them, too, so that somebody says so."""
    total = add_up(service, "CapabilityBoundingSet")
    places = list(total.named.values()) + total.unknown
    if total.everything:
        dropped = tuple(name for name, _ in places)
        return dropped if _runs(service, path) else ("ALL",), (), places
    return ("ALL",), tuple(name for name, _ in places), places


def _ambient(service: Section) -> list[tuple[str, int]]:
    """The capabilities that ``AmbientCapabilities=`` raises, with the lines; unknown names too, as
    above."""
    total = add_up(service, "AmbientCapabilities")
    named = list(total.named.values())
    if total.everything:  # all but what is named
        line = service.all("AmbientCapabilities")[-1].line
        named = [(f"CAP_{name}", line) for n, name in enumerate(NAMES) if n not in total.named]
    return named + total.unknown


@dataclass(slots=True)
class Total:
    """The sum of the assignments of a key: nothing but the named capabilities, or everything
    else."""

    everything: bool
    named: dict[int, tuple[str, int]] = field(default_factory=dict)
    """Number → (name as written, line)."""
    unknown: list[tuple[str, int]] = field(default_factory=list)
    """Names that systemd leaves out, with their lines."""


def add_up(service: Section, key: str) -> Total:
    """The sum as systemd builds it (config_parse_capability_set): the first assignment replaces the
    default, later ones add to it, or take away with ``~``. One without a known capability stands
    for nothing, and with ``~`` for everything."""
    untouched = key == "CapabilityBoundingSet"
    total = Total(everything=untouched)
    for item in service.all(key):
        inverted = item.value.startswith("~")
        said: dict[int, tuple[str, int]] = {}
        for name in split(item.value[inverted:], item.line):
            number = capability_number(name)
            if number is None:
                total.unknown.append((name, item.line))
            else:
                said[number] = (name, item.line)
        if not said or (total.everything == untouched and not total.named):
            total.everything, total.named = inverted, said
        elif total.everything == inverted:  # more of the same
            total.named |= said
        else:
            total.named = {n: place for n, place in total.named.items() if n not in said}
    return total


def _command(service: Section) -> tuple[str, ...]:
    """The words of the last ``ExecStart=``."""
    said = service.last("ExecStart")
    try:
        first, *others = split(said.value, said.line, "shell-like") if said else [""]
    except BadInput:  # whoever judges the command says so
        return ()
    return (first.lstrip(_PREFIXES), *others) if first.lstrip(_PREFIXES) else ()


_PREFIXES = "@-:+!|"
_WITH_SPECIFIERS = "|".join(default().host.lists["with-specifiers"]["systemd"])
WITHHELD = {
    "PrivateDevices": ("MKNOD", "SYS_RAWIO"),
    "ProtectKernelModules": ("SYS_MODULE",),
    "ProtectKernelLogs": ("SYSLOG",),
    "ProtectClock": ("SYS_TIME", "WAKE_ALARM"),
}
"""Setting → what systemd takes out of the bounding set (unit_patch_contexts)."""
_PRIVATE_USERS = ("self", "identity", "full", "managed")


def _withheld(service: Section) -> Iterator[tuple[str, str]]:
    """(capability, setting) of all that settings take away."""
    for key, caps in WITHHELD.items():
        if service.flag(key):
            yield from ((cap, key) for cap in caps)


def _exposed(service: Section, path: str) -> Iterator[ExposureAt]:
    """Commands with all capabilities, groups that control an engine or a disk, whether it has
    a user namespace of its own, and keys that nobody knows."""
    for item in service.assignments if unit_suffix(path) in ("", ".service") else ():
        yield from (
            host_paths.reached("systemd", item.key, item.value, item.line) if item.value else ()
        )
    unrestrained = service.flag("PermissionsStartOnly") is True
    for key in dict.fromkeys(item.key for item in service.assignments):
        if not key.startswith("Exec"):
            continue
        for item in service.values(key):
            if has_plus(item) or (unrestrained and key != "ExecStart"):
                yield ExposureAt(Exposure.PRIVILEGED_COMMAND, f"{key}={item.value}", item.line)
    yield from _own_users(service)
    yield from _own_namespaces(service)
    yield from _listening(service, path)
    for key in ("Group", "SupplementaryGroups"):
        for group, line in words(service.values(key)):
            if (kind := _group(group)) is not None:
                yield ExposureAt(kind, f"{key}={group}", line)


def _group(said: str) -> Exposure | None:
    """The exposure by a group. A number that no distribution gives can be any group's, as can one
    that the name of an instance settles."""
    host = default().host.lists
    group = host["group-numbers"].get(said, said)
    for kind, names in host["groups-of-root"].items():
        if group in names:
            return Exposure(kind)
    return Exposure.UNKNOWN if group.isdecimal() or "%" in group else None


def _as_root(service: Section, path: str) -> Iterator[ExposureAt]:
    """The files that systemd opens as root for a unit of another user, and the folders that it
    gives to that user. A folder that is called after the unit is its own."""
    names = [service_name(path), *(each.value for each in service.values("User"))]
    own = {_letters(each) for each in (*names, *_command(service)[:1])}
    for said, place, writable, line in (*_opened(service), *_given(service)):
        folder = _letters(f"{place}///".split("/")[3 if place.startswith("/var/") else 2])
        long = [each for each in own if min(len(each), len(folder)) > 2]
        is_own = any(each in folder or folder in each for each in long)
        for kind in {item.kind for item in host_paths.mounted(place, line, writable=writable)}:
            if kind is not Exposure.UNKNOWN or not is_own:
                kind = kind if kind is Exposure.UNKNOWN else Exposure.ROOT_ACCESS
                yield ExposureAt(kind, said, line)


def _listening(service: Section, path: str) -> Iterator[ExposureAt]:
    """Devices and files that systemd opens for the service, and places where it makes a socket or
    a FIFO, or a link to one: outside of /run, programs that run as root can read what is written
    there. An engine's own socket can be open to all."""
    for place, at in words(service.values("ListenSpecial")):
        yield from host_paths.mounted(place, at, writable=service.flag("Writable") is True)
    mode = "".join(each.value for each in service.values("SocketMode"))[-1:]
    for key in default().host.lists["listening"]:
        for place, at in words(service.values(key)):
            is_open = place.endswith(f"/{service_name(path)}.sock") and mode in "2367" and mode
            for item in host_paths.mounted(place, at, writable=True):
                in_run = place.startswith(("/run/", "/var/run/"))
                if item.kind is Exposure.SYSTEM_FOLDER and not in_run:
                    yield ExposureAt(Exposure.ROOT_ACCESS, f"{key}={place}", at)
                elif item.kind is Exposure.CONTROL_SOCKET and is_open:
                    yield item


def _letters(name: str) -> str:
    return re.sub("[^a-z]", "", name.lower())


def _given(service: Section) -> Iterator[tuple[str, str, bool, int]]:
    """(setting, path, True, line) of folders that systemd makes, and of links to these."""
    for key, folder in default().host.lists["directories"].items():
        for word, line in words(service.values(key)):
            for name in word.split(":")[:2]:
                yield f"{key}={word}", f"{folder}/{name}", True, line


def _opened(service: Section) -> Iterator[tuple[str, str, bool, int]]:
    """(setting, path, writable, line) of files that systemd opens as root."""
    for item in service.values("OpenFile"):
        place, _, options = item.value.partition(":")
        writable = "read-only" not in options.split(":")[-1].split(",")
        yield f"OpenFile={item.value}", "".join(split(place, item.line, "c")), writable, item.line
    for key in ("StandardInput", "StandardOutput", "StandardError"):
        for item in service.values(key)[-1:]:
            how, _, place = item.value.partition(":")
            if how in ("file", "append", "truncate"):
                yield f"{key}={item.value}", place, key != "StandardInput", item.line
    credentials = tuple(default().host.lists["credentials"])
    for key in ("LoadCredential", "LoadCredentialEncrypted", "EnvironmentFile"):
        meant = (*credentials, "/run/") if key == "EnvironmentFile" else credentials
        for item in service.values(key):
            place = default().host.followed(f"/{item.value.partition('/')[2]}")
            if "/" in item.value and not place.startswith(meant):
                yield f"{key}={item.value}", place, False, item.line


def _own_namespaces(service: Section) -> Iterator[ExposureAt]:
    """A unit shares the network and the IPC of the host unless it says otherwise. A namespace that
    a path names can be the host's."""
    for key, own in (("PrivateNetwork", Exposure.OWN_NETWORK), ("PrivateIPC", Exposure.OWN_IPC)):
        path = service.last(_PATH_OF[key])
        if path is None and service.flag(key):
            said = service.last(key)
            yield ExposureAt(own, f"{key}=yes", said.line if said else service.line)


_PATH_OF = {"PrivateNetwork": "NetworkNamespacePath", "PrivateIPC": "IPCNamespacePath"}


def _own_users(service: Section) -> Iterator[ExposureAt]:
    """systemd passes over a value that it does not know."""
    values = service.values("PrivateUsers")
    known = [x for x in values if x.value in _PRIVATE_USERS or flag_of(x.value) is not None]
    if known and flag_of(known[-1].value) is not False:
        yield ExposureAt(Exposure.OWN_USERS, f"PrivateUsers={known[-1].value}", known[-1].line)


def has_plus(command: Assignment) -> bool:
    """True if a command, or one of several, has the prefix that gives it all capabilities."""
    return any("+" in prefix for prefix in _prefixes(command))


def _keeps_root(service: Section) -> bool:
    """True if a command runs as root whatever User= says: ``!``. (``!!`` no longer does that.)"""
    keys = dict.fromkeys(x.key for x in service.assignments if x.key.startswith("Exec"))
    commands = (command for key in keys for command in service.values(key))
    return any(prefix.count("!") == 1 for each in commands for prefix in _prefixes(each))


def _prefixes(command: Assignment) -> Iterator[str]:
    """The prefix of each command. Quotes and escapes count: systemd takes them off first."""
    begins = True
    for word in split(command.value, command.line, "shell-like"):
        if begins:
            yield word[: len(word) - len(word.lstrip(_PREFIXES))]
        begins = word == ";"


def is_given(shown: str, snippet: Snippet) -> bool | None:
    """True if systemd gives a unit the set, according to ``systemd-analyze security``."""
    groups = held_groups(shown)
    wanted = {cap.name for cap, _ in snippet.caps}
    if groups is None:
        return None
    return all(held is not wanted.isdisjoint(group) for group, held in groups.items())


def held_groups(shown: str) -> dict[frozenset[str], bool] | None:
    """Groups of capabilities, and whether a unit may hold any of one, of the JSON of
    ``systemd-analyze security``; None where it is none."""
    try:
        rows = json.loads(shown)
    except ValueError:
        return None
    groups = {}
    for row in rows:
        _, is_group, group = str(row["name"]).partition("CapabilityBoundingSet=~")
        if is_group:
            groups[frozenset(members(group))] = not row["set"]
    return groups


def members(group: str) -> set[str]:
    """``CAP_SYS_(NICE|RESOURCE)`` and ``CAP_MAC_*`` as names."""
    pattern = re.compile(group.replace("*", "[A-Z_]*"))
    return {f"CAP_{name}" for name in NAMES if pattern.fullmatch(f"CAP_{name}")}
