"""What a failing set is enlarged by until it passes. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from capadvise.judgement.decide import Proposal
from capadvise.model.caps import Cap, CapSet


def grown(
    caps: CapSet,
    refused: Callable[[CapSet], CapSet],
    own: CapSet,
    everything: CapSet,
    proposal: Proposal,
) -> Iterator[CapSet]:
    """The set, grown by what its own trials were refused, then by what programs keep for
    themselves (``own``), then by the alternatives of its members."""
    for _ in range(3):
        missing = refused(caps)
        if missing <= caps:
            break
        caps = caps | missing
        yield caps
    if own != everything and not own <= caps:
        caps = caps | own
        yield caps
    alternatives = frozenset(
        cap
        for need in proposal.needs
        if need.cap in caps
        for group in need.alternatives
        for cap in group
    )
    if not alternatives & everything <= caps:
        yield caps | (alternatives & everything)


def halved(passes: Callable[[CapSet], bool], base: CapSet, candidates: Sequence[Cap]) -> CapSet:
    """What must be added to ``base``; all candidates together are enough."""
    if len(candidates) <= 1:
        return frozenset(candidates)
    middle = len(candidates) // 2
    left, right = frozenset(candidates[:middle]), frozenset(candidates[middle:])
    if passes(base | left):
        return halved(passes, base, candidates[:middle])
    if passes(base | right):
        return halved(passes, base, candidates[middle:])
    of_left = halved(passes, base | right, candidates[:middle])
    if passes(base | of_left):
        return of_left
    return of_left | halved(passes, base | of_left, candidates[middle:])
