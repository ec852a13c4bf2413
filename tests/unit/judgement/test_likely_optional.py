"""What follows for a capability that is likely optional: here, a disk is flushed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from capadvise.judgement.decide import Verdict, decide
from capadvise.model.caps import CapSet
from capadvise.model.recording import Check, Recording
from capadvise.report.explain_report import report_text
from capadvise.report.text import proposal_text
from capadvise.tui.choice import Choice, consequence
from capadvise.tui.reviewtab import call_line
from tests.support.recordings import CATALOG, check, recording, report


def flushing(cap: str, site: str) -> Check:
    return replace(check(cap, site, "ioctl"), args=(("cmd", 0x1261),))  # BLKFLSBUF


FLUSH = flushing("SYS_ADMIN", "capable blkdev_common_ioctl blkdev_ioctl")


def recommended(seen: Recording) -> CapSet:
    return decide(seen, CATALOG).recommended


def test_another_call_keeps_the_need() -> None:
    assert recommended(recording(FLUSH)) == frozenset()
    assert recommended(recording(FLUSH, replace(FLUSH, args=(("cmd", 0x125F),)))) == {FLUSH.cap}


def test_what_was_refused_is_judged_by_what_came_of_it() -> None:
    refused = replace(FLUSH, granted=False, result=-13)
    assert decide(recording(refused), CATALOG).need(FLUSH.cap).verdict is Verdict.DENIED


def test_a_program_that_holds_it_by_a_fixed_set_keeps_it() -> None:
    fixed = (("nginx", frozenset({FLUSH.cap})),)
    assert recommended(recording(FLUSH, fixed_capsets=fixed)) == {FLUSH.cap}


def test_what_is_likely_optional_decides_no_question() -> None:
    """Reading a file takes either of two; only what is likely optional would take the second."""
    read = check("DAC_READ_SEARCH", "generic_permission may_open", "openat")
    optional = flushing("DAC_OVERRIDE", "generic_permission may_lookup link_path_walk")
    assert recommended(recording(read, optional)) == recommended(recording(read))


def test_the_pages_for_people_tell_it(tmp_path: Path) -> None:
    one = report(recording(FLUSH), "nginx")
    told = "SYS_ADMIN (ioctl, by nginx): likely optional: programs usually go on if"
    for page in (proposal_text(one, CATALOG, tmp_path / "r.json"), report_text(one, CATALOG)):
        assert told in " ".join(" ".join(page).split())


def test_the_screens_do_not_say_that_it_has_no_effect() -> None:
    choice = Choice(report(recording(FLUSH)))
    said = consequence(choice, FLUSH.cap, "medium")
    assert said == "Not in the set: as far as one run tells, the program goes on without it."
    said = consequence(choice.toggle(FLUSH.cap), FLUSH.cap, "medium")
    assert said == "Added by you: it is likely optional, and it adds a medium risk."
    (seen,) = choice.report.proposal.need(FLUSH.cap).evidence
    assert str(call_line(seen)) == "ioctl  granted, likely optional  1×"


def test_where_all_is_likely_optional_nobody_is_told_to_drop_all_for_sure() -> None:
    text = "\n".join(proposal_text(report(recording(FLUSH)), CATALOG, None))
    assert text.startswith("nginx most likely needs no capability (")
    assert "not proven: SYS_ADMIN (ioctl, by nginx) may be needed" in " ".join(text.split())
