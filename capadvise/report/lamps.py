"""All capabilities as a row of lamps, and the score of a set. Pure: the screens and the exported
pages draw them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from capadvise.catalog import Catalog
from capadvise.catalog.capabilities import Risk
from capadvise.judgement.decide import Proof, Proposal, Verdict
from capadvise.judgement.proven import Proven
from capadvise.judgement.report import Report
from capadvise.model.caps import Cap, CapSet
from capadvise.report.risk import judged_in, remaining, risk_word


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


SIGNS = {
    Light.ROOT: "◆",
    Light.NEEDED: "●",
    Light.ADDED: "+",
    Light.DROPPED: "−",
    Light.OPTIONAL_KEPT: "◕",
    Light.OPTIONAL: "◐",
    Light.DENIED: "×",
    Light.INCIDENTAL: "○",
    Light.UNJUDGED: "?",
    Light.DARK: "·",
}
_BY_VERDICT = {
    Verdict.OPTIONAL: Light.OPTIONAL,
    Verdict.DENIED: Light.DENIED,
    Verdict.INCIDENTAL: Light.INCIDENTAL,
}
Risks = Mapping[Cap, Risk]


@dataclass(frozen=True, slots=True)
class Lamp:
    """One capability."""

    cap: Cap
    light: Light


class RisksHere(Mapping[Cap, Risk]):
    """The risk of each capability in the place where it runs, looked up on demand: a catalog entry
    takes a millisecond to read. Capabilities that the catalog does not know are missing."""

    def __init__(self, report: Report, catalog: Catalog) -> None:
        self._place, _ = judged_in(report)
        self._catalog = catalog
        self._caps = all_caps(report.recording.host.last_cap, report.proposal)
        self._risks: dict[Cap, Risk | None] = {}

    def __getitem__(self, cap: Cap) -> Risk:
        if cap not in self._risks:
            entry = self._catalog.entry(cap)
            self._risks[cap] = remaining(entry, self._place).risk if entry else None
        risk = self._risks[cap]
        if risk is None:
            raise KeyError(cap)
        return risk

    def __iter__(self) -> Iterator[Cap]:
        """The usually worst first, so that a search for the worst ends soon."""
        usual = usual_risks(self._caps, self._catalog)
        return iter(sorted(usual, key=lambda cap: -usual[cap]))

    def __len__(self) -> int:
        return len(usual_risks(self._caps, self._catalog))


def usual_risks(caps: Collection[Cap], catalog: Catalog) -> dict[Cap, Risk]:
    """The risks of capabilities in an unknown place."""
    words = {cap: catalog.risk(cap) for cap in caps}
    return {cap: Risk[word.upper()] for cap, word in words.items() if word}


def all_caps(last_cap: int, proposal: Proposal) -> tuple[Cap, ...]:
    """All that the kernel knows, and what else was seen."""
    return tuple(sorted({*map(Cap, range(last_cap + 1)), *(n.cap for n in proposal.needs)}))


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
    """``41 → 4 · root-equivalent → medium · proven``."""

    total: int
    kept: int
    before: str
    after: str
    status: str

    @property
    def numbers(self) -> str:
        """How many there were, and how many are left."""
        return f"{self.total} → {self.kept}"

    @property
    def risk(self) -> str:
        """The worst of all, and the worst of those that are left."""
        return f"{self.before} → {self.after}"

    def __str__(self) -> str:
        return f"{self.numbers} · {self.risk} · {self.status}"


def score(caps: Collection[Cap], kept: CapSet, risks: Risks, status: str) -> Score:
    """The score of a set."""
    return Score(len(caps), len(kept), worst(caps, risks), worst(kept, risks), status)


def worst(caps: Collection[Cap], risks: Risks) -> str:
    """The word for the highest risk among these; one that nobody knows is the highest."""
    if not caps:
        return "none"
    worst_known: Risk | None = None
    for cap in risks:
        if cap in caps and (worst_known is None or risks[cap] > worst_known):
            worst_known = risks[cap]
        if worst_known is Risk.ROOT:
            return risk_word(worst_known)
    return risk_word(worst_known if all(cap in risks for cap in caps) else None)


def how_known(report: Report, caps: CapSet) -> str:
    """The proof of a set as a whole, in a word or two."""
    if report.proven is not None and (known := _tried(report.proven, report.proposal, caps)):
        return known
    needs = [report.proposal.need(cap) for cap in caps]
    retried = needs and all(need.proof is Proof.RETRY for need in needs)
    recommended = caps == report.proposal.recommended
    return "confirmed by retries" if recommended and retried else "not tested"


def _tried(proven: Proven, proposal: Proposal, caps: CapSet) -> str:
    if proven.flaky:
        return "flaky"
    trial = next((trial for trial in reversed(proven.trials) if trial.caps == caps), None)
    if trial is not None and not trial.passed:
        return "a trial failed"
    return _proven(proven, proposal, caps) or ("a trial passed" if trial is not None else "")


def _proven(proven: Proven, proposal: Proposal, caps: CapSet) -> str:
    if proven.complete and proven.minimal is not None:
        if caps == proven.minimal:
            return "proven minimal"
        if caps == proposal.recommended and proven.recommended_sound is not False:
            return "proven"
    return ""
