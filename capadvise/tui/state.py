"""One target from its recording to its review: the state that all tabs show. No widget here."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from capadvise.catalog import Catalog
from capadvise.judgement.conclusion import Conclusion, PassedSet, conclude_report
from capadvise.judgement.decide import Proposal
from capadvise.judgement.report import Report
from capadvise.judgement.risk import Risks, RisksHere, all_caps, usual_risks, worst
from capadvise.model.caps import Cap, CapSet
from capadvise.report.fit import Places, can_move, places_of
from capadvise.report.lamps import Lamp, Score, lamps, score_of, score_so_far
from capadvise.tui.choice import Choice
from capadvise.tui.rows import ByCap, LiveRows, Row, review_rows, seen
from capadvise.tui.why import uses_of
from capadvise.workflow.protocols import Now, Over, Prover

_NOTHING = Proposal((), frozenset())
_UNDONE = 100
"""The most steps that can be undone."""


class TargetState:
    """A target: its recording or report, and the user's choice."""

    def __init__(self, name: str, catalog: Catalog, last_cap: int = 40) -> None:
        self.name = name
        self.catalog = catalog
        self.now = Now(name=name)
        self.rows: list[Row] = []
        self.over: Over | None = None
        self._make_prover: Callable[[Path], Prover | None] | None = None
        self._prover: Prover | None = None
        self.agreed: Sequence[str] = ()
        """The commands of trials, as the user has seen them and agreed."""
        self.choice: Choice | None = None
        self.saved = False
        """True once something was written for it."""
        self.trial_caps: CapSet | None = None
        """The set of the running trial."""
        self.trial_base: CapSet = frozenset()
        """The last set that passed before it."""
        self.uses = ByCap(partial(uses_of, catalog))
        self.counts = ByCap(seen)
        self._places: Places | None = None
        self._past: list[Choice] = []
        self._concluded: tuple[Report, dict[PassedSet, Conclusion]] | None = None
        self._live = LiveRows()
        self._caps = tuple(map(Cap, range(last_cap + 1)))
        self.risks: Risks = usual_risks(self._caps, catalog)
        """In the place where the target runs, once that is known."""

    # ------------------------------------------------------------------------- the recording

    def look(self, now: Now) -> bool:
        """Take what the recorder sees now; returns True if it differs from before."""
        if now.tallies == self.now.tallies and now.proposal is self.now.proposal:
            failing = now.health is not None and not now.health.passed  # for how long, is shown
            quiet = not failing and not any(row.bright or row.rate for row in self.rows)
            same = (now.health, now.ended, now.lost) == (
                self.now.health,
                self.now.ended,
                self.now.lost,
            )
            if quiet and same:
                self.now = now
                return False
        self.now = now
        self.rows = self._live.at(now, self.lamps(), self.risks)
        return True

    @property
    def dropped(self) -> int:
        """The number of dropped events, of all targets of a run together."""
        recordings = self.over.report.recordings if self.over else ()
        known = [recording.lost for recording in recordings] or [self.now.lost]
        return sum(lost.total for lost in known)

    def ended(self, over: Over, prover: Callable[[Path], Prover | None]) -> None:
        """Take the report of a recording that is over."""
        self.over, self._make_prover = over, prover
        self.choice, self._places = Choice(over.report), None
        self.risks = RisksHere(over.report, self.catalog)
        self._caps = all_caps(over.report.recording.host.last_cap, over.report.proposal)
        if self.now.tallies:  # the last judgement came after the last look
            self.now = replace(self.now, proposal=over.report.proposal, ended=True)
            self.rows = self._live.at(self.now, self.lamps(), self.risks)

    @property
    def prover(self) -> Prover | None:
        """The prover of this report, made at the first use, which is after the first frame."""
        if self._prover is None and self._make_prover is not None and self.over is not None:
            self._prover = self._make_prover(self.over.path or Path(os.devnull))
        return self._prover

    # --------------------------------------------------------------------------- the choice

    def choose(self, choice: Choice) -> None:
        """Make another choice, which can be undone."""
        if self.choice is not None:
            self._past = [*self._past, self.choice][-_UNDONE:]
        self.choice = choice

    def undo(self) -> None:
        """Undo one step, and keep the newest proof."""
        if self._past and self.choice is not None:
            self.choice = self._past.pop().of(self.choice.report)

    @property
    def can_undo(self) -> bool:
        return bool(self._past)

    # ------------------------------------------------------------------------- the display

    @property
    def proposal(self) -> Proposal:
        """The judgement so far."""
        return self.choice.report.proposal if self.choice else self.now.proposal or _NOTHING

    def lamps(self) -> tuple[Lamp, ...]:
        """The lamps of this moment, or of the running trial."""
        checked = {tally.last.cap for tally in self.now.tallies}
        proposal = self.proposal
        if self.trial_caps is not None:
            base = self.trial_base | self.trial_caps  # the user added nothing
            return lamps(self._caps, proposal, self.trial_caps, base, self.risks)
        if self.choice is not None:
            kept, base = self.choice.caps, self.choice.start
            return lamps(self._caps, proposal, kept, base, self.risks)
        kept = proposal.recommended
        return lamps(self._caps, proposal, kept, kept, self.risks, checked)

    @property
    def conclusion(self) -> Conclusion | None:
        """The conclusion on the chosen set; None while it is recorded."""
        return None if self.choice is None else self.conclusion_of(self.choice)

    @property
    def reported(self) -> Conclusion | None:
        """The conclusion on the recommended set, whatever the user has chosen."""
        return None if self.choice is None else self.conclusion_of(Choice(self.choice.report))

    def conclusion_of(self, choice: Choice) -> Conclusion:
        """The conclusion on another choice. Kept: there can be 100,000 pieces of evidence."""
        report, chosen = choice.report, choice.held
        if self._concluded is None or self._concluded[0] is not report:
            self._concluded = report, {}
        known = self._concluded[1]
        if chosen not in known:
            known[chosen] = conclude_report(
                report, self.catalog, chosen.caps, beside=chosen.beside, risks=self.risks
            )
        return known[chosen]

    def score(self) -> Score:
        """The score of the chosen set, or of the running trial."""
        if self.trial_caps is not None:
            held, doing = len(self.trial_caps), "in a trial"
            return Score(f"{held} held", "", worst(self.trial_caps, self.risks), doing, doing)
        if self.conclusion is None:
            return score_so_far(self.proposal.recommended, self.risks, "so far")
        return score_of(self.conclusion)

    def review_rows(self) -> list[Row]:
        """The rows of the review; none before there is a report."""
        if self.choice is None:
            return []
        return review_rows(self.choice, self.lamps(), self.risks, self.counts, self.places())

    def places(self) -> Places:
        """The place where each need can be met; empty if the target runs in a user namespace
        already. Computed once: there can be 100,000 pieces of evidence, and no proof changes
        them."""
        report = self.choice.report if self.choice else None
        if report is None or not can_move(report):
            return {}
        if self._places is None:
            self._places = places_of(report, self.catalog)
        return self._places
