"""The harm that a remediation does, and the one place that decides whether to suggest it. Pure.

A harmless one is suggested. One that opens something comes after all others, with what it opens.
One that gives the system away is never suggested: a system file that another user owns, or root's
rights for every user who starts a program.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from posixpath import normpath

from capadvise.catalog import Catalog, default
from capadvise.catalog.capabilities import Risk
from capadvise.catalog.circumstances import Circumstance, Known, holds
from capadvise.model.caps import Cap, CapSet, parse_set
from capadvise.model.wording import set_text


@dataclass(frozen=True, slots=True)
class Harm:
    """The harm of a remediation."""

    opens: str
    """In a few words, some perhaps of the target: escape them."""
    refused: bool = False
    """True if it is never suggested."""


def sayable(remediations: Iterable[tuple[str, Harm | None]]) -> list[str]:
    """The remediations to suggest, the harmless ones first."""
    kept = [(text, harm) for text, harm in remediations if harm is None or not harm.refused]
    harmful = [f"{text} ({harm.opens})" for text, harm in kept if harm is not None]
    return [*(text for text, harm in kept if harm is None), *harmful]


# ------------------------------------------------------------------------------ capabilities

HOST: Known = dict.fromkeys(
    (
        *(Circumstance.HOST_USER, Circumstance.HOST_NETWORK, Circumstance.HOST_PROCESSES),
        *(Circumstance.HOST_IPC, Circumstance.HOST_NAME, Circumstance.HOST_FILES),
    ),
    True,
)
"""A program of the machine, in no container."""
CONTAINER: Known = {**dict.fromkeys(HOST, False), Circumstance.HOST_USER: True}
"""A container without any option."""
_TO_ROOT = parse_set(["SETUID", "SETGID", "SETFCAP", "MKNOD"])
"""On the machine itself, one or two calls make their holder root (a device node is a disk)."""
_OF_OWNERS = parse_set(["CHOWN", "FOWNER"])
"""A user who may name the file takes over the system with them."""
_IN_IMAGE = parse_set(["SETUID", "SETGID", "SETFCAP", "DAC_OVERRIDE"])
"""With them, each user of a container is its root."""


def risk_in(cap: Cap, place: Known, catalog: Catalog) -> Risk:
    """The risk of a capability in a place; one newer than the catalog has the highest."""
    entry = catalog.entry(cap)
    if entry is None:
        return Risk.ROOT
    there = (each for each in entry.risk_conditions if each.where)
    return max([entry.risk, *(each.risk for each in there if holds(each.where, place))])


def grant_harm(cap: Cap, place: Known, catalog: Catalog, *, root: bool) -> Harm | None:
    """The harm of a capability in the hands of a program. ``root``: its user is root already;
    to another user, nobody may give what makes it root (an ambient set does)."""
    to_root = place is HOST and cap in _TO_ROOT and not root
    if to_root or risk_in(cap, place, catalog) is Risk.ROOT:
        return Harm(f"{cap.short} is root-equivalent there", refused=not root)
    return None


def ambient_refused(caps: Iterable[Cap], catalog: Catalog) -> list[Cap]:
    """The capabilities that no unit of another user than root may be given by advice."""
    return [cap for cap in sorted(caps) if grant_harm(cap, HOST, catalog, root=False)]


def makes_root(cap: Cap, catalog: Catalog) -> bool:
    """True if a user of the machine who has it in an ambient set can become root."""
    return cap in _OF_OWNERS or grant_harm(cap, HOST, catalog, root=False) is not None


def file_capabilities_refused(
    caps: CapSet, programs: Sequence[str], catalog: Catalog, *, image: bool
) -> str | None:
    """Why a file must not get these capabilities: every user who starts it has them. None if it
    may. ``programs``: the names of the file; ``image``: it is one of a container's image."""
    for name in programs:
        if what := runs_others(name):
            return f"{what}: every user would run programs of their own with these capabilities"
    place, more = (CONTAINER, _IN_IMAGE) if image else (HOST, _TO_ROOT | _OF_OWNERS)
    far = [cap for cap in sorted(caps) if cap in more or risk_in(cap, place, catalog) is Risk.ROOT]
    if not far:
        return None
    held = set_text(far)
    return f"every user who starts the program would have {held}, which is root for all of them"


# ------------------------------------------------------------------------------ files

_HOMES = ("home", "root")
_OF_SERVICES = ("lib", "cache", "log", "spool", "opt", "www")
"""Folders of /var that hold a folder for each service."""
_SECRET = (
    r"etc|boot|shadow-?|gshadow-?|passwd-?|sudoers(\.d)?|\.ssh|\.gnupg|authorized_keys|crontabs?"
)
"""Parts of a path that say so wherever they are: below a mounted folder of the host, too."""


def owner_of_path(path: str) -> str | None:
    """Whose a file is that must not be given to another user, by its path: ``the system``,
    ``another user``. None if it can be the data of a service."""
    if ".." in PurePosixPath(path).parts:  # behind a link, nobody knows where that leads
        return "the system"
    first, *rest = PurePosixPath("/" + normpath(f"/{path}").lstrip("/")).parts[1:] or ("",)
    if first in _HOMES:
        return "root" if first == "root" else "another user"
    if any(re.fullmatch(_SECRET, part) for part in (first, *rest)):
        return "the system"
    if first in ("tmp", "var") and rest and _of_service(first, rest):
        return None
    return "the system" if first in default().names["system-folders"] else None


def _of_service(first: str, rest: Sequence[str]) -> bool:
    """True for what a service or a user has in a folder that all of them share."""
    if first == "tmp" or rest[0] == "www":
        return True
    if rest[0] == "tmp":
        return len(rest) > 1
    theirs = len(rest) > 1 and rest[0] in _OF_SERVICES
    return theirs and rest[1] not in default().names["no-services"]


# ------------------------------------------------------------------------------ programs

_KINDS = {
    "shells": "a shell",
    "interpreters": "an interpreter",
    "runners": "a program that runs others",
}
"""Lists of the catalog → what their programs are."""
_SCRIPT = (
    r".*\.(py|pyc|pyz|sh|bash|zsh|ksh|csh|fish|pl|pm|rb|js|mjs|cjs|ts|lua|php|phar|tcl|awk|r|R|jl|jar"
    r"|class|groovy|kts|exs?|raku|ps1|sed|scm)"
)
_LOADER = r"ld-(linux|musl).*|qemu-.*"


def runs_others(program: str) -> str | None:
    """The kind of a program that runs programs or scripts that its caller names, by its name:
    ``python3.11 is an interpreter``. None for others. The version in a name does not matter."""
    name = PurePosixPath(program).name
    if re.fullmatch(_SCRIPT, name):
        return f"{name} is a script, which has the capabilities of its interpreter"
    bare = re.sub(r"[-_]?v?[0-9][0-9.]*([-.](dbg|static|basic|tiny))?$", "", name)
    for names, kind in _KINDS.items():
        if not default().names[names].isdisjoint((name, bare)):
            return f"{name} is {kind}"
    return f"{name} is {_KINDS['runners']}" if re.fullmatch(_LOADER, name) else None
