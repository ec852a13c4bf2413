"""The risk of a capability in one place, and its words. Pure: all that the gate needs."""

from __future__ import annotations

from capadvise.catalog.capabilities import Attack, Condition, Entry, Risk
from capadvise.catalog.circumstances import Circumstance, Known, broken, holds, met, unknown
from capadvise.dataclass import dataclass

_RISKS = {"root": "root-equivalent"}


def risk_word(risk: object) -> str:
    """The word for a level of risk; None is one that nobody knows."""
    return "unknown" if risk is None else _RISKS.get(str(risk), str(risk))


def risk_of(risk: object) -> str:
    """The same, to stand by itself: ``high risk``, ``root-equivalent``."""
    word = risk_word(risk)
    return word if word in _RISKS.values() else f"{word} risk"


@dataclass(frozen=True, slots=True)
class Remaining:
    """What a capability still lets an attacker do in one place."""

    risk: Risk
    because: str
    """Why it is this risk, with what of the place decides."""
    possible: tuple[Attack, ...]
    depends: tuple[tuple[Attack, str], ...]
    """(attack, what it hangs on that is not known)."""
    closed: tuple[tuple[Attack, str], ...]
    """(attack, what stands in its way)."""
    worse: tuple[Condition, ...]
    """Conditions of which it is not known whether they hold, and that would make it worse."""


def remaining(entry: Entry, known: Known) -> Remaining:
    """The risk of a capability, and what can be done with it, where this is known."""
    risk, because = _risk(entry, known)
    judged = [(attack, holds(attack.where, known)) for attack in entry.attack]
    return Remaining(
        risk,
        because,
        tuple(attack for attack, can in judged if can),
        tuple((a, " and ".join(unknown(a.where, known))) for a, can in judged if can is None),
        tuple((a, " and ".join(broken(a.where, known))) for a, can in judged if can is False),
        tuple(c for c in entry.risk_conditions if c.risk > risk and holds(c.where, known) is None),
    )


_USUAL = (Circumstance.HOST_USER, True)
"""Nothing to speak of."""


def _risk(entry: Entry, known: Known) -> tuple[Risk, str]:
    """What makes it worse decides; else what makes it better; else the entry's own word."""
    there = [c for c in entry.risk_conditions if c.where and holds(c.where, known)]
    worse = [c for c in there if c.risk > entry.risk]
    better = [c for c in there if c.risk < entry.risk]
    deciding = max(worse, key=lambda c: c.risk, default=None) or min(
        better, key=lambda c: c.risk, default=None
    )
    if deciding is None:
        return entry.risk, entry.risk_reason
    told = met([item for item in deciding.where if item != _USUAL], known)
    return deciding.risk, f"{deciding.reason} ({' and '.join(told)})" if told else deciding.reason
