"""Where any one of several capabilities would do: a member of the floor that something recommended
besides can replace, and recommended ones that the rest makes needless. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from capadvise.model.caps import Cap, CapSet


@dataclass(frozen=True, slots=True)
class Trials:
    """Those of one workload."""

    passes: Callable[[CapSet, Cap, tuple[str, ...]], bool]
    """The trial of a set: without a capability, and what it holds in its place. False, too, where
    there were enough of them."""
    as_good: Callable[[CapSet, CapSet], bool]
    """Whether the smaller set passes, too, and loses nothing."""
    by_power: Callable[[CapSet], list[Cap]]
    """What takes an attacker farthest first, as it was taken away."""
    risk: Callable[[Cap], int]


def shared(trials: Trials, minimal: CapSet, kept: CapSet) -> CapSet:
    """The floor, with what is kept anyway in the place of a member, where that passes. Only what
    was taken away before a member was tried can do its part: else the member had gone."""
    whole = minimal | kept
    order = trials.by_power(whole)
    for at, cap in enumerate(order):
        others = [one for one in order[:at] if one in kept]
        for other in sorted(others, key=lambda one: (trials.risk(one), one)):
            caps = minimal - {cap} | {other}
            passes = cap in minimal and trials.passes(caps, cap, (other.short,))
            if passes and trials.as_good(whole - {cap}, whole):
                return shared(trials, _smallest(trials, caps, other), kept - {other})
    return minimal


def _smallest(trials: Trials, caps: CapSet, new: Cap) -> CapSet:
    """What the new member makes needless goes, too."""
    for cap in trials.by_power(caps - {new}):
        if trials.passes(caps - {cap}, cap, ()):
            caps = caps - {cap}
    return caps


def without_spare(trials: Trials, minimal: CapSet, kept: CapSet) -> CapSet:
    """Of several that are kept, those of which something is lost when all the others are there."""
    for cap in trials.by_power(kept):
        less = (minimal | kept) - {cap}
        if len(kept) < 2:
            break
        instead = tuple(one.short for one in sorted(less))
        if trials.passes(less, cap, instead) and trials.as_good(less, minimal | kept):
            kept = kept - {cap}
    return kept
