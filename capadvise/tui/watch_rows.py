"""The rows of ``watch``: an owner with lamps, and what was refused to it. Pure: no widget here."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from capadvise.judgement.watched import Owner, WatchFinding
from capadvise.model.caps import Cap
from capadvise.model.escape import printable
from capadvise.model.recording import RefusedBy
from capadvise.report.watch import call_text, refuser_text

_LONGEST = 60
_FOR_WANT_OF_IT = (RefusedBy.CAPABILITY, RefusedBy.LIMIT)
"""Where a capability would have been the cure."""


@dataclass(frozen=True, slots=True)
class OwnerRow:
    """An owner, above its findings."""

    owner: Owner
    caps: frozenset[Cap]
    """What it lacked."""
    findings: int
    count: int
    """Refused calls."""
    folded: bool

    @property
    def key(self) -> str:
        """What makes it another row."""
        return repr(self.owner)

    @property
    def name(self) -> str:
        """Escaped."""
        return printable(self.owner.label)[:_LONGEST]


@dataclass(frozen=True, slots=True)
class FindingRow:
    """One finding, with its count at this moment."""

    finding: WatchFinding
    count: int

    @property
    def key(self) -> str:
        """What makes it another row."""
        return f"finding {self.finding.number}"

    @property
    def call(self) -> str:
        """Whose call, and what came of it; escaped."""
        return printable(call_text(self.finding))

    @property
    def why(self) -> str:
        """What refused it; escaped."""
        return "harmless" if self.finding.hidden else printable(refuser_text(self.finding))


WatchRow = OwnerRow | FindingRow


def rows_of(
    findings: Iterable[WatchFinding], folded: Collection[str], *, everything: bool
) -> list[WatchRow]:
    """The owner that appeared last comes first, each with its findings, the most frequent first.
    ``folded``: keys of owners that are closed; ``everything``: also what has no effect."""
    groups: dict[Owner, list[WatchFinding]] = {}
    for finding in sorted(findings, key=lambda finding: finding.number):
        if everything or finding.hidden is None:
            groups.setdefault(finding.call.owner, []).append(finding)
    rows: list[WatchRow] = []
    for owner, members in reversed(groups.items()):
        caps = frozenset(
            cap for finding in members if finding.by in _FOR_WANT_OF_IT for cap in finding.caps
        )
        closed = repr(owner) in folded
        rows.append(OwnerRow(owner, caps, len(members), sum(one.count for one in members), closed))
        if not closed:
            members.sort(key=lambda finding: (-finding.count, finding.number))
            rows += [FindingRow(finding, finding.count) for finding in members]
    return rows
