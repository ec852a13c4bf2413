"""What stands beside a set in a trial, so that the target works without one of its members. Pure.

To add a kind: a member of ``CompanionKind``; what it may take the place of, in ``KNOWN`` or by a
function in ``workflow.proof``; and who carries it out reads it from the plan of a trial.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from capadvise.model.caps import Cap


class CompanionKind(StrEnum):
    """What a companion changes, as the plan of a trial names it."""

    SYSCTL = "settings"
    """``name=value``, in the target's own network."""
    GROUPS = "groups"
    """``group=adm,1234``: supplementary groups of the target."""
    UNIT_LINE = "options"
    """``Key=value``, in the unit."""


_GROUP = "group="


@dataclass(frozen=True, slots=True)
class Companion:
    """One of them."""

    kind: CompanionKind
    words: str
    """As people read it, and reports have it."""

    @classmethod
    def of_groups(cls, names: Iterable[str]) -> Companion:
        """These groups together."""
        return cls(CompanionKind.GROUPS, _GROUP + ",".join(names))

    @classmethod
    def parse(cls, words: str) -> Companion:
        """One that a report says took the place of a capability."""
        return cls(
            CompanionKind.GROUPS if words.startswith(_GROUP) else CompanionKind.SYSCTL, words
        )


Pairs = Sequence[tuple[Cap, Companion]]
"""What may take the place of which capability."""
KNOWN: Pairs = (
    (
        Cap.parse("NET_BIND_SERVICE"),
        Companion(CompanionKind.SYSCTL, "net.ipv4.ip_unprivileged_port_start=0"),
    ),
)
"""Those that may do so for any target with a network of its own."""


def in_plan(beside: Iterable[Companion]) -> dict[str, list[str]]:
    """What the plan of a trial says of them."""
    return {
        kind.value: [one.words.removeprefix(_GROUP) for one in beside if one.kind is kind]
        for kind in CompanionKind
    }
