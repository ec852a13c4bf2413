"""The review on a real report: trials are started from the screen and really run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from capadvise.catalog import default
from capadvise.judgement.decide import Verdict
from capadvise.model.caps import Cap, parse_set
from capadvise.report.load import load
from capadvise.tui.app import CapadviseApp
from capadvise.tui.main import Main
from capadvise.workflow.protocols import Over
from capadvise.workflow.review_prover import ReviewProver
from tests.support.runs import Run
from tests.support.screens import drive, kept_report, press, shows

CHOWN = Cap.parse("CHOWN")


def test_a_proof_from_the_screen_is_shown_and_kept_in_the_report(run: Run, tmp_path: Path) -> None:
    run("sh", "-c", "rm -f f && touch f && chown nobody f")
    path = tmp_path / "report.json"
    over = Over(load(path, default()), path)
    main = Main(default(), overs=[over], prover=ReviewProver)
    app = CapadviseApp(lambda: main)

    async def script(pilot: Pilot[Any]) -> None:
        assert kept_report(app).proposal.need(CHOWN).verdict is Verdict.NEEDED
        await press(pilot, "space", "y")  # the user's own set: none
        assert main.choice is not None
        assert main.choice.trial() is not None
        await press(pilot, "2")
        assert "Contradicted: a trial of it failed" in shows(app, "#status")
        await press(pilot, "z", "p")
        assert kept_report(app).proposal.minimal == parse_set(["CHOWN"])
        await press(pilot, "2")
        assert "required" in shows(app, "#why-text")

    drive(app, script)
    kept = load(path, default())
    assert kept.proposal.need(CHOWN).verdict is Verdict.REQUIRED
    assert main.choice is not None
    assert kept.proven == main.choice.report.proven


def test_where_the_recorded_run_failed_the_screen_says_that_nothing_can_be_proven(
    run: Run, tmp_path: Path
) -> None:
    run("false")
    path = tmp_path / "report.json"
    report = load(path, default())
    assert ReviewProver(path).obstacle(report) == (
        "the recorded run failed, so trials cannot tell success from failure (record a run "
        "that exits with 0, or pass a check that succeeds)"
    )
