"""Which trials are begun while the first one goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from capadvise.judgement.differences import Observed
from capadvise.judgement.proven import TrialOutcome
from capadvise.model.caps import Cap
from capadvise.model.posture import Posture
from capadvise.model.workload import Workload
from capadvise.proof.attempts import Attempt
from capadvise.proof.trials.runner import EngineCall, Job, TrialEvidence
from capadvise.proof.trials.stop import Stop
from capadvise.workflow.jobs import Candidate
from capadvise.workflow.proof import Reference, TrialListener, _Proof
from tests.support.recordings import BIND, check, recording, report

CHOWN, BINDS = Cap.parse("CHOWN"), Cap.parse("NET_BIND_SERVICE")


@pytest.mark.parametrize("is_up", [False, True], ids=["passed once", "up again"])
def test_all_are_begun_as_soon_as_the_second_start_is_up(
    monkeypatch: pytest.MonkeyPatch, is_up: bool
) -> None:
    """What it has used is known then; that it goes on so is a wait."""
    job = Job(
        ("x",),
        Workload("daemon", check="true"),
        "container",
        container=EngineCall(),
        limit=frozenset((CHOWN, BINDS)),
    )
    known = report(recording(BIND))
    proof = _Proof(
        Candidate("x", job, known),
        Stop(),
        TrialListener(lambda _: None, lambda *_: None, lambda _: None, lambda *_: None),
        1,
        lambda _: None,
    )
    begun: list[Attempt] = []

    def ahead(attempts: Sequence[Attempt]) -> None:
        begun[:] = attempts

    monkeypatch.setattr(proof.trials, "ahead", ahead)
    later = replace(recording(check("CHOWN", "setattr_prepare", "chown")), start=2)
    seen = (recording(BIND), later) if is_up else (recording(BIND),)
    outcome = TrialOutcome(True, "", 2.0, Observed(0))
    evidence = TrialEvidence(seen, known.target, Posture(), "", rounds_passed=1, stop=None)
    proof._begin_early(Reference(job, outcome, evidence))
    nothing, binds, both = frozenset[Cap](), frozenset((BINDS,)), frozenset((CHOWN, BINDS))
    first, after = [nothing, binds], [nothing, both, binds, frozenset((CHOWN,))]
    assert [one.caps for one in begun][: len(after)] == (after if is_up else first)
