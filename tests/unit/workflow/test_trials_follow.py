"""The sentence between a recording that Ctrl-C ended and its trials."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import replace

import pytest

from capadvise.judgement.conclusion import Standing
from capadvise.judgement.report import Report
from capadvise.workflow import prove
from tests.support.standings import report_with


@pytest.mark.parametrize("interrupted", [True, False])
def test_trials_after_ctrl_c_are_announced(
    interrupted: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody knew that a second one leaves them."""
    report = report_with(Standing.RECORDED, needs=True)
    run = replace(report.recording, interrupted=interrupted)
    report = replace(report, recordings=(run,))

    def proven(*_: object) -> list[Future[Report]]:
        done = Future[Report]()
        done.set_result(report)
        return [done]

    monkeypatch.setattr(prove, "until_interrupted", proven)
    monkeypatch.setattr(prove, "job_of", lambda *_, **__: None)
    assert prove.prove_report(report, None) == (report, False)
    sentence = (
        "capadvise: the recording has ended, and its trials follow; Ctrl-C again leaves them\n"
    )
    assert capsys.readouterr().err == (sentence if interrupted else "")
