"""The trials that are likely to be made, and their input. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from capadvise.judgement.decide import Proposal
from capadvise.model.caps import Cap, CapSet
from capadvise.model.companion import Companion, Pairs


class Attempt(NamedTuple):
    """The input of one trial."""

    caps: CapSet
    beside: tuple[Companion, ...] = ()
    patient: bool = False
    """It has all the time that the workload allows, even if other trials passed soon."""


@dataclass(frozen=True, slots=True)
class LikelyAttempts:
    """The trials that a proposal leads to."""

    proposal: Proposal
    everything: CapSet
    removal_order: Sequence[Cap]
    """The most powerful capabilities first; others follow by their number."""
    companions: Pairs = ()
    """The companions that are known before any trial."""

    @property
    def recommended(self) -> CapSet:
        """The recommended capabilities that the target can be given."""
        return self.proposal.recommended & self.everything

    def by_power(self, caps: CapSet) -> list[Cap]:
        """The capabilities, the most powerful first."""
        first = [cap for cap in self.removal_order if cap in caps]
        return first + sorted(caps - set(first))

    def at_first(self) -> list[Attempt]:
        """The trials of none, of the recommended set, and the next ones if that is minimal. Sets
        that should pass come first: these trials take longest."""
        caps = self.recommended
        others = [Attempt(tried) for _, _, tried in self.others(caps)]
        removals = self.removals(caps, self.by_power(caps))
        attempts = [Attempt(frozenset()), Attempt(caps), *others, *removals]
        return list(dict.fromkeys(attempts))

    def removals(self, caps: CapSet, untried: Iterable[Cap]) -> list[Attempt]:
        """The next removals, which are known before a trial has ended because most sets fail
        without a member. ``untried``: the members that were not removed yet, in order. A second
        trial with everything comes last, which shows what is noise."""
        others = (tried for _, _, tried in self.others(caps))
        sets = (*(caps - {cap} for cap in untried), *others)
        beside = [Attempt(caps - some, (one,)) for some, one in self.companions if some & caps]
        return [*map(Attempt, sets), *beside, Attempt(self.everything)]

    def others(self, caps: CapSet) -> Iterator[tuple[Cap, tuple[Cap, ...], CapSet]]:
        """Each member with its alternatives, and the set with these instead."""
        for cap in self.by_power(caps):
            for group in self.proposal.need(cap).alternatives:
                others = frozenset(group)
                if others <= self.everything - caps:
                    yield cap, group, caps - {cap} | others
