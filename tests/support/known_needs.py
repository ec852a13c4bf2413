"""Workloads whose needs are known, and the search for the minimal set among them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from capadvise.catalog import default
from capadvise.judgement.decide import Need, Proof, Proposal, Verdict
from capadvise.judgement.differences import Observed
from capadvise.judgement.proven import Proven, TrialOutcome
from capadvise.model.caps import Cap, CapSet, parse_set
from capadvise.model.companion import Companion
from capadvise.proof.plan import SearchTask, prove

EVERYTHING = frozenset(Cap(number) for number in range(41) if number != 24)
ORDER = default().removal_order
RISKS = {"SYS_ADMIN": 3, "DAC_READ_SEARCH": 3, "DAC_OVERRIDE": 2}
"""All others are 1."""


def caps(text: str) -> CapSet:
    return parse_set(text.split())


def proposal(text: str, self_restricting: str = "") -> Proposal:
    """One that needs all of these."""
    needs = tuple(
        Need(
            cap,
            Verdict.NEEDED,
            Proof.CALL_SITE,
            "r",
            self_restricting=cap in caps(self_restricting),
        )
        for cap in sorted(caps(text))
    )
    return Proposal(needs, caps(text))


@dataclass
class KnownWorkload:
    """A workload that passes when ``works`` says so; counts its trials."""

    works: Callable[[CapSet], bool]
    observe: Callable[[CapSet], Observed] = lambda _: Observed(0)
    refused: Callable[[CapSet], CapSet] = lambda _: frozenset()
    tried: list[CapSet] = field(default_factory=list)
    with_beside: Callable[[CapSet, tuple[Companion, ...]], TrialOutcome] | None = None
    """Runs the trials with companions."""

    def __call__(self, given: CapSet, beside: tuple[Companion, ...] = ()) -> TrialOutcome:
        if beside and self.with_beside:
            return self.with_beside(given, beside)
        self.tried.append(given)
        passed = self.works(given)
        why = "" if passed else "it failed"
        return TrialOutcome(passed, why, 0.1, self.observe(given), self.refused(given))

    def prove(self, known: Proposal) -> Proven:
        first = self(EVERYTHING)
        self.tried.clear()
        return prove(SearchTask(known, EVERYTHING, first, "workload", ORDER), self)


def needing(text: str) -> Callable[[CapSet], bool]:
    """Of a workload: it passes where it has these."""
    return lambda given: caps(text) <= given


def search(fake: KnownWorkload, known: Proposal, **more: Any) -> Proven:
    """A search that knows risks; what else it is given is ``more``."""
    task = SearchTask(
        *(known, EVERYTHING, fake(EVERYTHING), "workload", ORDER),
        risk=lambda cap: RISKS.get(cap.short, 1),
    )
    return prove(task, fake, **more)
