"""Companions: changes beside a set in a trial, with which the target works without one of its
members. Pure.

To add a kind: a member of ``CompanionKind``; the capabilities that it may replace, in ``KNOWN`` or
by a function in ``workflow.proof``; and code that carries it out from the plan of a trial.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from capadvise.model.caps import Cap


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


_GROUP = "group="


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

    @classmethod
    def of_groups(cls, names: Iterable[str]) -> Companion:
        """Make a companion of these groups."""
        return cls(CompanionKind.GROUPS, _GROUP + ",".join(names))

    @classmethod
    def parse(cls, words: str) -> Companion:
        """Read the companion that a report names."""
        if flag := _FLAGS.get(words):
            return flag
        return cls(
            CompanionKind.GROUPS if words.startswith(_GROUP) else CompanionKind.SYSCTL, words
        )


NO_NEW_PRIVS = Companion(CompanionKind.NO_NEW_PRIVS, "no_new_privs=1")
DEFAULT_SECCOMP = Companion(CompanionKind.SECCOMP, "seccomp=default")
_FLAGS = {one.words: one for one in (NO_NEW_PRIVS, DEFAULT_SECCOMP)}
Pairs = Sequence[tuple[Cap, Companion]]
"""(capability, companion that may replace it)."""
KNOWN: Pairs = (
    (
        Cap.parse("NET_BIND_SERVICE"),
        Companion(CompanionKind.SYSCTL, "net.ipv4.ip_unprivileged_port_start=0"),
    ),
)
"""Companions for any target with a network of its own."""


def in_plan(beside: Iterable[Companion]) -> dict[str, list[str]]:
    """The part of a trial's plan that describes them."""
    return {
        kind.value: [one.words.removeprefix(_GROUP) for one in beside if one.kind is kind]
        for kind in CompanionKind
    }
