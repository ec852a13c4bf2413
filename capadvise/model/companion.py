"""Companions: changes beside a set in a trial, with which the target works without one of its
members. Pure.

To add a kind: a member of ``CompanionKind``; the capabilities that it may replace, in ``KNOWN`` or
by a function in ``workflow.proof``; and code that carries it out from the plan of a trial.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

from capadvise.model.caps import CapSet, parse_set


class CompanionKind(StrEnum):
    """The kind of a companion, by its key in the plan of a trial."""

    SYSCTL = "settings"
    """``name=value``, in the target's own network."""
    GROUPS = "groups"
    """``group=adm,1234``: supplementary groups of the target."""
    UNIT_LINE = "options"
    """``Key=value``, in the unit."""
    NO_NEW_PRIVS = "no_new_privs"
    """The target can gain nothing by an exec."""
    SECCOMP = "seccomp"
    """The engine's default seccomp profile."""
    FILE_CAPS = "uncapped"
    """``setcap -r FILE``: program files without their file capabilities."""
    OPENING = "opened"
    """``seccomp=default+CALL+…``: the engine's default seccomp profile with more calls."""
    UNMASKED = "unmasked"
    """``systempaths=unconfined``: no part of /proc and /sys is hidden or read-only."""


_GROUP, _SETCAP = "group=", "setcap -r "
_OPENING = "seccomp=default+"
_SAFE_PATH = r"(\$W)?(/[\w.+@-]+)+"
"""It goes into options of engines and units."""


@dataclass(frozen=True, slots=True)
class Companion:
    """One companion."""

    kind: CompanionKind
    words: str
    """Its name for people and in reports."""

    @property
    def is_flag(self) -> bool:
        """True if it replaces no capability: files write it beside any set."""
        return self.words in _FLAGS

    @property
    def arguments(self) -> list[str]:
        """Its words in the plan of a trial; a report's words can be anything."""
        if self.kind is CompanionKind.OPENING:
            return [*filter(None, self.words.removeprefix(_OPENING).split("+"))]
        if self.kind is not CompanionKind.FILE_CAPS:
            return [self.words.removeprefix(_GROUP)]
        with suppress(ValueError):
            return [path for path in shlex.split(self.words)[2::2] if is_plain(path)]
        return []

    @classmethod
    def without_file_caps(cls, paths: Iterable[str]) -> Companion:
        """Make a companion of these program files."""
        options = (word for path in paths for word in ("-r", path))
        return cls(CompanionKind.FILE_CAPS, shlex.join(["setcap", *options]))

    @staticmethod
    def is_named_by(words: str) -> bool:
        """True for the words of a companion, and not for the name of a capability."""
        return "=" in words or words.startswith(_SETCAP)

    @classmethod
    def of_groups(cls, names: Iterable[str]) -> Companion:
        """Make a companion of these groups."""
        return cls(CompanionKind.GROUPS, _GROUP + ",".join(names))

    @classmethod
    def of_calls(cls, calls: Iterable[object]) -> Companion:
        """Make a companion of these calls: ``clone(NEWUSER)``, ``mount``."""
        return cls(CompanionKind.OPENING, _OPENING + "+".join(map(str, calls)))

    @classmethod
    def parse(cls, words: str) -> Companion:
        """Read the companion that a report names."""
        if known := _KNOWN_WORDS.get(words):
            return known
        kinds = {
            _GROUP: CompanionKind.GROUPS,
            _SETCAP: CompanionKind.FILE_CAPS,
            _OPENING: CompanionKind.OPENING,
        }
        named = (kind for start, kind in kinds.items() if words.startswith(start))
        return cls(next(named, CompanionKind.SYSCTL), words)


def is_plain(path: str) -> bool:
    """True for the path of a program file that a trial can have without its capabilities."""
    return bool(re.fullmatch(_SAFE_PATH, path)) and ".." not in path.split("/")


NO_NEW_PRIVS = Companion(CompanionKind.NO_NEW_PRIVS, "no_new_privs=1")
DEFAULT_SECCOMP = Companion(CompanionKind.SECCOMP, "seccomp=default")
UNMASKED = Companion(CompanionKind.UNMASKED, "systempaths=unconfined")
_FLAGS = {one.words: one for one in (NO_NEW_PRIVS, DEFAULT_SECCOMP)}
_KNOWN_WORDS = {**_FLAGS, UNMASKED.words: UNMASKED}
Pairs = Sequence[tuple[CapSet, Companion]]
"""(capabilities, companion that may replace them all)."""
KNOWN: Pairs = (
    (
        parse_set(["NET_BIND_SERVICE"]),
        Companion(CompanionKind.SYSCTL, "net.ipv4.ip_unprivileged_port_start=0"),
    ),
)
"""Companions for any target with a network of its own."""


def in_plan(beside: Iterable[Companion]) -> dict[str, list[str]]:
    """The part of a trial's plan that describes them."""
    return {
        kind.value: [word for one in beside if one.kind is kind for word in one.arguments]
        for kind in CompanionKind
    }
