"""What the keys of the screen do about trials, and what becomes of their results."""

from __future__ import annotations

from capadvise.tui.base import OfMain
from capadvise.tui.prooftab import ProofTab


class Proving(OfMain):
    """The actions of ``Main`` that run trials."""

    def action_prove(self) -> None:
        """Search for the minimal set; where that cannot be done, the tab says why."""
        self.place = "proof"
        if self.proof.wants_check:
            self.query_one("#check").focus()
        elif self.proof.can_start:
            self.proof.prove()
        self.refresh_bindings()

    def action_try(self) -> None:
        """One trial of the chosen set."""
        self.place = "proof"
        self.proof.try_chosen()
        self.refresh_bindings()

    def action_stop_trials(self) -> None:
        """End the trials."""
        self.proof.stop()

    def on_proof_tab_health_check(self, event: ProofTab.HealthCheck) -> None:
        """It is known now what shows that it works."""
        if self.choice is not None:
            self.state.choice = self.choice.of(event.report)
            self.query_one("#trials").focus()
            self.show()
            if self.proof.can_start:
                self.action_prove()

    def on_proof_tab_trial_started(self, event: ProofTab.TrialStarted) -> None:
        """The lamps of what is left out go out."""
        self.state.trial_caps = event.caps
        passed = [trial.caps for trial in self.proof.trials if trial.passed]
        self.state.trial_base = min(passed, key=len, default=event.caps)
        self.show_board()

    def on_proof_tab_proof_ended(self, event: ProofTab.ProofEnded) -> None:
        """What trials gave flows back into the review."""
        self.state.trial_caps = None
        if event.report is not None and self.choice is not None:
            self.state.choice = self.choice.of(event.report)
        self.show()
