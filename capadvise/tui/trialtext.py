"""Trials and their result, as they are drawn."""

from __future__ import annotations

from textual.content import Content

from capadvise.judgement.proven import Proven, Trial
from capadvise.judgement.report import Report
from capadvise.report.words import set_text
from capadvise.tui.choice import brief
from capadvise.tui.page import Page, Wrapped


class TrialLine(Wrapped):
    """One trial as a row: what it was about, how it ended, what differed."""

    def __init__(self, number: int, what: str, trial: Trial) -> None:
        self._number, self._what, self._trial = number, what, trial

    def lines(self, width: int) -> list[Content]:
        """One line."""
        passed = self._trial.passed
        word, style = ("✓ passes", "$text-success") if passed else ("✗ fails", "$text-error")
        text = Content.assemble(
            (f"{self._number:2}  ", "dim"),
            f"{self._what:28}",
            (f"{word:8}", style),
            f"{self._trial.seconds:6.1f} s  ",
            (brief(self._trial), "dim"),
        )
        return [text.truncate(width, ellipsis=True)]


def say_proven(page: Page, proven: Proven, report: Report) -> None:
    """The result, in a sentence or two."""
    count = len(proven.trials)
    trials = f"{count} trial{'s' * (count != 1)}, isolation: {proven.isolation}"
    bad, good = "bold $text-error", "bold $text-success"
    if proven.flaky:
        page.say(Content.assemble(("Not proven: ", bad), "the same set passed and failed: flaky."))
    elif proven.floor is None:
        page.say(Content.assemble(("Not proven: ", bad), "it fails even with everything."))
    elif not proven.complete:
        best = len(proven.floor)
        head = Content.styled("Not finished: ", "bold $text-warning")
        page.say(Content.assemble(head, f"it works with {best} so far. p starts again."))
    else:
        lost = "; each removal failed" if proven.floor else ""
        needed = f"{len(proven.floor)} needed{lost}. {set_text(proven.floor)}"
        minimal = needed if proven.floor else "none needed."
        page.say(Content.assemble(("✓ Minimal: ", good), minimal))
        kept = sorted(report.proposal.recommended - proven.floor)
        if kept:
            names = ", ".join(cap.short for cap in kept)
            page.say(f"Recommended besides: {names}: it works without, and loses something.")
        if proven.recommended_sound is False:
            page.say("Caution: the recommended set as a whole did not pass.")
    page.say(Content.styled(f"{trials[:1].upper()}{trials[1:]}.", "dim"))
