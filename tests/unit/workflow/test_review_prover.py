"""What the screens are told of a proof: whether it can be made, and what it lacks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from capadvise.judgement.report import Report
from capadvise.model.workload import Workload
from capadvise.workflow import review_prover
from capadvise.workflow.review_prover import ReviewProver
from tests.support.standings import Standing, report_with


@pytest.fixture(autouse=True)
def _a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(review_prover, "require_place", lambda: None)


def recorded(folder: Path, **target: object) -> Report:
    known = report_with(Standing.RECORDED)
    return replace(known, target=replace(known.target, **{"cwd": str(folder)} | target))


def test_a_folder_that_is_gone_is_named_with_a_way_out(tmp_path: Path) -> None:
    prover = ReviewProver(tmp_path / "r.json")
    assert prover.obstacle(recorded(tmp_path)) is None
    said = prover.obstacle(recorded(tmp_path / "gone"))
    assert said == (
        f"the folder of the recording is gone: {tmp_path / 'gone'} (make it again, or record the "
        "command in another folder)"
    )


def test_a_check_is_asked_for_only_where_it_helps(tmp_path: Path) -> None:
    """A container that was attached to: the screen named --check, which does not help."""
    daemon = replace(recorded(tmp_path), workload=Workload("daemon"))
    prover = ReviewProver(tmp_path / "r.json")
    assert prover.wants_check(daemon)
    assert "--check" in (prover.obstacle(daemon) or "")
    inside = replace(daemon, target=replace(daemon.target, kind="container"))
    assert not prover.wants_check(inside)
    assert prover.obstacle(inside) == "the report's command starts no known container"
