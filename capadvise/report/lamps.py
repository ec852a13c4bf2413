"""All capabilities as a row of lamps, and the score of a set. Pure: the screens and the exported
pages draw them."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from capadvise.catalog.capabilities import Risk
from capadvise.judgement.conclusion import PASSED, Conclusion, Standing
from capadvise.judgement.decide import Proposal, Verdict
from capadvise.judgement.risk import Risks, worst
from capadvise.model.caps import Cap, CapSet


class Light(StrEnum):
    """The state of a lamp. Each has a sign of its own: colour only adds to it."""

    ROOT = "needed, root-equivalent"
    NEEDED = "needed"
    ADDED = "added by you"
    DROPPED = "dropped"
    OPTIONAL_KEPT = "optional, kept"
    OPTIONAL = "optional"
    DENIED = "denied"
    INCIDENTAL = "incidental"
    UNJUDGED = "just checked"
    DARK = "not checked"


_Kind = TypeVar("_Kind", bound=StrEnum)
_TABLE = json.loads(Path(__file__).with_name("signs.json").read_text(encoding="utf-8"))


def signs(kind: type[_Kind], what: str) -> dict[_Kind, str]:
    """One column of ``signs.json`` for lights or verdicts: ``sign``, ``class`` (of a stylesheet),
    ``style`` (of Textual) or ``sgr`` (a terminal's code)."""
    return {member: _TABLE[kind.__name__][member.name][what] for member in kind}


SIGNS = signs(Light, "sign")
_BY_VERDICT = {
    Verdict.OPTIONAL: Light.OPTIONAL,
    Verdict.DENIED: Light.DENIED,
    Verdict.INCIDENTAL: Light.INCIDENTAL,
}


@dataclass(frozen=True, slots=True)
class Lamp:
    """One capability."""

    cap: Cap
    light: Light


def lamps(
    caps: Collection[Cap],
    proposal: Proposal,
    kept: CapSet,
    base: CapSet,
    risks: Risks,
    checked: Collection[Cap] = (),
) -> tuple[Lamp, ...]:
    """One for each capability. ``base``: the set that ``kept`` was changed from; ``checked``: what
    was checked, judged or not."""
    verdicts = {need.cap: need.verdict for need in proposal.needs}

    def light(cap: Cap) -> Light:
        if cap in kept:
            if cap not in base:
                return Light.ADDED
            if verdicts.get(cap) is Verdict.OPTIONAL:
                return Light.OPTIONAL_KEPT
            return Light.ROOT if risks.get(cap) is Risk.ROOT else Light.NEEDED
        if cap in base:
            return Light.DROPPED
        dark = Light.UNJUDGED if cap in checked and cap not in verdicts else Light.DARK
        return _BY_VERDICT.get(verdicts.get(cap, Verdict.NOT_CHECKED), dark)

    return tuple(Lamp(cap, light(cap)) for cap in caps)


@dataclass(frozen=True, slots=True)
class Score:
    """``14 → 4 · high → medium · proven, 8 trials``."""

    numbers: str
    before: str
    """Empty while the baseline is not known."""
    after: str
    status: str
    brief: str
    """The status for a narrow screen."""
    good: bool | None = None
    """True: proven. False: no surface may call it good."""

    @property
    def risk(self) -> str:
        """The worst of the baseline, and the worst of the set."""
        return f"{self.before} → {self.after}" if self.before else self.after

    def __str__(self) -> str:
        return f"{self.numbers} · {self.risk} · {self.status}"


_BAD = {Standing.RUN_FAILED, Standing.CHECK_FAILED, Standing.CONTRADICTED, Standing.OTHER_PROGRAM}


def score_of(conclusion: Conclusion) -> Score:
    standing = conclusion.standing
    return Score(
        conclusion.counts,
        conclusion.risk_before,
        conclusion.risk_after,
        conclusion.standing_words,
        standing.words,
        True if standing in PASSED else False if standing in _BAD else None,
    )


def score_so_far(caps: CapSet, risks: Risks, status: str) -> Score:
    """The score of a set while nothing is concluded yet."""
    return Score(f"{len(caps)} needed", "", worst(caps, risks), status, status)
