"""Trials on different data count as one."""

from __future__ import annotations

from capadvise.judgement.differences import OUTPUT, Observed
from capadvise.judgement.proven import TrialOutcome
from capadvise.model.posture import Posture
from capadvise.model.target import Target
from capadvise.proof.trials.choices import combined
from capadvise.proof.trials.runner import Part, TrialEvidence


def _part(owner: str, line: str) -> Part:
    seen = Observed(
        0,
        files=(("/v", owner),),
        details=(("/v/f", "size", line),),
        printed=((OUTPUT, (line,)),),
        listening=("tcp:80",),
        stopped=f"at {line}",
    )
    evidence = TrialEvidence((), Target("container", "x", (), "/", ""), Posture(), "", 1, None)
    return TrialOutcome(True, "", 1.0, seen), evidence


def test_all_that_each_left_is_kept() -> None:
    outcome, _ = combined([_part("0:0 0755", "1"), _part("5:0 0755", "2")], ["fresh", "copy"])
    assert outcome.observed == Observed(
        0,
        files=(("fresh:/v", "0:0 0755"), ("copy:/v", "5:0 0755")),
        details=(("fresh:/v/f", "size", "1"), ("copy:/v/f", "size", "2")),
        printed=((OUTPUT, ("1", "2")),),
        listening=("tcp:80",),
        stopped="at 1; at 2",
    )
