"""What a trial can run with, and which trials are likely. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from capadvise.judgement.decide import Proposal
from capadvise.model.caps import Cap, CapSet
from capadvise.model.companion import Companion, Pairs


class Attempt(NamedTuple):
    """What one trial runs with."""

    caps: CapSet
    beside: Companion | None = None
    patient: bool = False
    """It has all the time that the workload allows, however soon other trials have passed."""


@dataclass(frozen=True, slots=True)
class LikelyAttempts:
    """The trials that a proposal leads to."""

    proposal: Proposal
    everything: CapSet
    removal_order: Sequence[Cap]
    """What takes an attacker farthest first; what it leaves out follows by its number."""
    companions: Pairs = ()
    """Those that are known before any trial."""

    @property
    def recommended(self) -> CapSet:
        """What can be given of what is recommended."""
        return self.proposal.recommended & self.everything

    def by_power(self, caps: CapSet) -> list[Cap]:
        """The most powerful first."""
        first = [cap for cap in self.removal_order if cap in caps]
        return first + sorted(caps - set(first))

    def at_first(self) -> list[Attempt]:
        """Of nothing, of the recommended set, and what follows where that is the floor. What should
        pass comes first: it takes longest."""
        caps = self.recommended
        others = [Attempt(tried) for _, _, tried in self.others(caps)]
        removals = self.removals(caps, self.by_power(caps))
        attempts = [Attempt(frozenset()), Attempt(caps), *others, *removals]
        return list(dict.fromkeys(attempts))

    def removals(self, caps: CapSet, untried: Iterable[Cap]) -> list[Attempt]:
        """Most sets fail without a member: what comes next is known before a trial has ended.
        ``untried``: the members that were not taken away yet, in order. The last one is with
        everything once more, which tells noise from losses."""
        others = (tried for _, _, tried in self.others(caps))
        sets = (*(caps - {cap} for cap in untried), *others)
        beside = [Attempt(caps - {cap}, one) for cap, one in self.companions if cap in caps]
        return [*map(Attempt, sets), *beside, Attempt(self.everything)]

    def others(self, caps: CapSet) -> Iterator[tuple[Cap, tuple[Cap, ...], CapSet]]:
        """Each member with what the kernel would accept in its place, and the set with that."""
        for cap in self.by_power(caps):
            for group in self.proposal.need(cap).alternatives:
                others = frozenset(group)
                if others <= self.everything - caps:
                    yield cap, group, caps - {cap} | others
