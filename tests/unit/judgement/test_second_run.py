"""A second run without what is in doubt: it is needed, or it is not, or the doubt stays."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from capadvise.judgement.conclusion import Standing, conclude_report, standing_of
from capadvise.judgement.decide import Proof, Verdict, decide_all
from capadvise.judgement.report import Report
from capadvise.model.caps import Cap
from capadvise.model.recording import Check, Difference, SecondRun
from capadvise.report.dump import dump
from capadvise.report.load import load_recording
from capadvise.report.text import proposal_text
from tests.support import schema
from tests.support.known_needs import caps
from tests.support.recordings import CATALOG, check, report_of

KILL = Cap.parse("KILL")
SIGNAL_0 = check(
    "KILL", "ns_capable check_kill_permission", "kill", args=(("signal", 0),), detail="signal 0"
)
ADDRESSES = check("SYSLOG", "capable kallsyms_show_value kallsyms_open", "openat")
UNKNOWN = check("SYS_PACCT", "capable some_new_function", "acct")
FAILS = Difference(None, ("exited with 1 instead of 0",))


def again(*checks: Check, second: SecondRun, **more: Any) -> Report:
    return report_of(*checks, second_run=second, **more)


def test_what_made_no_difference_is_in_doubt_no_more() -> None:
    judged = again(SIGNAL_0, ADDRESSES, second=SecondRun(True, caps("KILL SYSLOG")))
    assert judged.proposal.doubts == ()
    assert judged.proposal.recommended == frozenset()
    assert standing_of(judged) == (Standing.RECORDED, None)
    assert "recorded once and run again" in conclude_report(judged, CATALOG).standing_words


def test_what_made_a_difference_joins_the_set_with_its_reason() -> None:
    lost = Difference(KILL, ("exited with 1 instead of 0",))
    second = SecondRun(True, caps("KILL SYSLOG"), caps("KILL"), differed=(FAILS, lost))
    judged = again(SIGNAL_0, ADDRESSES, second=second)
    assert judged.proposal.recommended == caps("KILL")
    need = judged.proposal.need(KILL)
    assert (need.verdict, need.proof, need.uncertain) == (Verdict.NEEDED, Proof.TRIAL, None)
    assert "signal" in need.reason
    assert need.lost_without == "exited with 1 instead of 0"
    assert standing_of(judged) == (Standing.RECORDED, None)
    text = " ".join("\n".join(proposal_text(judged, CATALOG, None, columns=110)).split())
    assert "something differed without KILL, nothing differed without SYSLOG." in text


def test_a_member_that_may_not_be_needed_leaves_the_set_if_nothing_is_lost_without_it() -> None:
    cap = caps("SYS_PACCT")
    assert report_of(UNKNOWN).proposal.in_doubt == cap
    assert again(UNKNOWN, second=SecondRun(True, cap)).proposal.recommended == frozenset()
    kept = again(UNKNOWN, second=SecondRun(True, cap, cap, differed=(FAILS,)))
    assert kept.proposal.recommended == cap
    assert standing_of(kept) == (Standing.RECORDED, None)


@pytest.mark.parametrize(
    ("seen", "fields"),
    [
        (
            check("FOWNER", "ns_capable may_open path_openat", "openat"),
            {"access_time_keepers": frozenset({"nginx"})},
        ),
        (check("IPC_LOCK", "capable do_mmap vm_mmap_pgoff ksys_mmap_pgoff", "mmap"), {}),
    ],
    ids=["access times", "locked memory"],
)
def test_a_member_whose_loss_leaves_no_trace_is_not_refused(
    seen: Check, fields: dict[str, Any]
) -> None:
    judged = report_of(seen, **fields).proposal
    assert judged.recommended == {seen.cap}
    assert judged.need(seen.cap).uncertain
    assert judged.in_doubt == frozenset()


def test_a_fixed_set_shrinks_to_what_made_a_difference() -> None:
    kept = caps("SYS_TIME SYS_NICE")
    fixed = {"fixed_capsets": (("ntpd", kept),)}
    assert report_of(**fixed).proposal.in_doubt == kept
    second = SecondRun(True, kept, caps("SYS_TIME"), differed=(FAILS,))
    assert again(second=second, **fixed).proposal.recommended == caps("SYS_TIME")


@pytest.mark.parametrize(("needed", "chosen"), [("", ""), ("SYS_TIME", "SYS_TIME")])
def test_what_no_check_shows_is_settled_too(needed: str, chosen: str) -> None:
    asks = {"own_set_readers": (("ask", caps("SYS_TIME")),)}
    judged = again(second=SecondRun(True, caps("SYS_TIME"), caps(needed)), **asks)
    assert judged.proposal.recommended == caps(chosen)
    assert judged.proposal.doubts == ()


def test_a_reader_of_its_own_sets_must_have_read_them_again() -> None:
    reads = {"own_set_readers": (("caddy", frozenset[Cap]()),)}
    assert again(second=SecondRun(True, frozenset(), own_sets=True), **reads).proposal.doubts == ()
    assert again(second=SecondRun(True, frozenset()), **reads).proposal.doubts


@pytest.mark.parametrize(
    "second",
    [SecondRun(False, caps("KILL"), differed=(FAILS,)), SecondRun(True, caps("SYSLOG"))],
    ids=["the doubts do not explain it", "it was not used again"],
)
def test_otherwise_the_doubt_stays(second: SecondRun) -> None:
    judged = again(SIGNAL_0, second=second)
    assert [doubt.cap for doubt in judged.proposal.doubts] == [KILL]
    assert standing_of(judged)[0] is Standing.LIKELY


def test_a_difference_that_nothing_explains_is_a_doubt_of_its_own() -> None:
    judged = again(second=SecondRun(False, frozenset(), differed=(FAILS,)))
    said = "run again with this set, it differed: exited with 1 instead of 0"
    assert standing_of(judged) == (Standing.LIKELY, said)


def test_what_seemed_incidental_joins_if_it_made_a_difference() -> None:
    state = check("SYS_PTRACE", "ns_capable ptrace_may_access do_task_stat", "read")
    assert report_of(state).proposal.in_doubt == frozenset()
    cap = caps("SYS_PTRACE")
    judged = again(state, second=SecondRun(True, cap, cap, differed=(FAILS,)))
    assert judged.proposal.recommended == cap


def test_another_run_that_was_not_repeated_keeps_its_doubt() -> None:
    settled = again(SIGNAL_0, second=SecondRun(True, caps("KILL"))).recording
    other = replace(settled, second_run=None)
    assert decide_all((settled, settled), CATALOG).doubts == ()
    assert decide_all((settled, other), CATALOG).doubts


def test_the_report_keeps_it() -> None:
    lost = Difference(KILL, ("exited with 1 instead of 0",))
    second = SecondRun(True, caps("KILL"), caps("KILL"), True, (FAILS, lost), ("stdout",))
    document = dump(again(SIGNAL_0, second=second), CATALOG)
    schema.report().validate(document)
    assert load_recording(document["recordings"][0]).second_run == second
