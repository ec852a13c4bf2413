"""Which runs settle the doubts of a recording, against workloads whose needs are known."""

from __future__ import annotations

from dataclasses import replace

import pytest

from capadvise.judgement.decide import Need, Proof, Proposal, Verdict
from capadvise.judgement.differences import OUTPUT, Observed
from capadvise.model.caps import CapSet
from capadvise.model.recording import SecondRun
from capadvise.proof.plan import SearchTask, settle
from tests.support.known_needs import EVERYTHING, ORDER, KnownWorkload, caps, needing, proposal
from tests.support.recordings import check, report_of


def doubting(needed: str, doubtful: str) -> Proposal:
    known = proposal(needed)
    more = (Need(cap, Verdict.INCIDENTAL, Proof.NONE, "", "why") for cap in sorted(caps(doubtful)))
    return replace(known, needs=(*known.needs, *more))


def settled(fake: KnownWorkload, known: Proposal, refused: CapSet | None = None) -> SecondRun:
    task = SearchTask(known, EVERYTHING, fake(EVERYTHING), "command", ORDER)
    fake.tried.clear()
    return settle(task, known.in_doubt if refused is None else refused, fake)


@pytest.mark.parametrize("doubtful", ["KILL", "KILL SYSLOG SYS_ADMIN NET_ADMIN"])
def test_one_run_is_enough_if_nothing_differs(doubtful: str) -> None:
    fake = KnownWorkload(needing("CHOWN"))
    again = settled(fake, doubting("CHOWN", doubtful))
    assert (again.settled, again.refused, again.needed) == (True, caps(doubtful), frozenset())
    assert again.differed == ()
    assert fake.tried == [caps("CHOWN")]


@pytest.mark.parametrize("truth", ["KILL", "KILL NET_ADMIN", "KILL SYSLOG SYS_ADMIN NET_ADMIN"])
def test_what_made_a_difference_is_found_one_by_one(truth: str) -> None:
    doubtful = "KILL SYSLOG SYS_ADMIN NET_ADMIN"
    fake = KnownWorkload(needing(f"CHOWN {truth}"))
    again = settled(fake, doubting("CHOWN", doubtful))
    assert again.settled
    assert again.needed == caps(truth)
    assert {one.cap for one in again.differed} == {None, *caps(truth)}
    assert len(fake.tried) <= 3 + len(caps(doubtful))


def test_of_two_that_do_the_same_one_stays() -> None:
    fake = KnownWorkload(lambda given: bool(given & caps("SYSLOG SYS_ADMIN")))
    assert settled(fake, doubting("", "SYSLOG SYS_ADMIN")).needed == caps("SYSLOG")


def test_another_output_is_a_difference() -> None:
    def observe(given: CapSet) -> Observed:
        line = "ffff" if caps("SYSLOG") <= given else "0000"
        return Observed(0, printed=((OUTPUT, (line,)),))

    fake = KnownWorkload(lambda _: True, observe)
    assert settled(fake, doubting("", "SYSLOG KILL")).needed == caps("SYSLOG")


def test_a_difference_that_the_doubts_do_not_explain_settles_nothing() -> None:
    again = settled(KnownWorkload(needing("CHOWN SYS_TIME")), doubting("CHOWN", "KILL"))
    assert not again.settled
    assert again.differed[0].lost == ("it failed",)


def test_what_seemed_incidental_is_tried_after_what_is_in_doubt() -> None:
    state = check("SYS_PTRACE", "ns_capable ptrace_may_access do_task_stat", "read")
    known = report_of(state).proposal
    assert settled(KnownWorkload(needing("SYS_PTRACE")), known).needed == caps("SYS_PTRACE")


def test_what_was_not_used_again_is_not_settled() -> None:
    """The first run without what is in doubt lacks it all the same."""
    fake = KnownWorkload(needing(""))
    again = settled(fake, doubting("", "KILL SYSLOG"), caps("SYSLOG"))
    assert again.refused == caps("SYSLOG")
    assert fake.tried == [frozenset()]


def test_a_workload_that_fails_by_chance_settles_nothing() -> None:
    answers = iter([True, False, True])
    again = settled(KnownWorkload(lambda _: next(answers)), doubting("", "KILL"))
    assert not again.settled
