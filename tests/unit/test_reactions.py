"""What follows from copies of a program that were refused a call."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from capadvise.caps import CapSet, parse_set
from capadvise.decide import Verdict, decide, decide_all
from capadvise.reaction import Reaction
from capadvise.recording import Check, Held, Recording
from capadvise.report.explain_report import report_text
from capadvise.report.text import proposal_text
from capadvise.tui.choice import Choice, consequence
from capadvise.tui.evidence import call_line
from tests.support.recordings import CATALOG, check, recording, report

SERVES: dict[str, Any] = {"still_running": frozenset({"nginx"})}
ENDS: dict[str, Any] = {}

OWNER = check("CHOWN", "capable_wrt_inode_uidgid setattr_prepare vfs_fchown", "fchown")
PRIORITY = check("SYS_NICE", "capable set_one_prio __x64_sys_setpriority", "setpriority")
INTERFACE = check("NET_ADMIN", "ns_capable dev_ioctl sock_ioctl", "ioctl")
KEYSTROKE = check("SYS_ADMIN", "capable tiocsti tty_ioctl", "ioctl")
OPTION = check("NET_ADMIN", "sockopt_ns_capable sk_setsockopt", "setsockopt")
ROUTING = check("NET_ADMIN", "ns_capable ip_mroute_setsockopt raw_setsockopt", "setsockopt")
IDENTITY = check("SETUID", "ns_capable_setid __sys_setuid __x64_sys_setuid", "setuid")
UNKNOWN = check("CHOWN", "capable never_heard_of vfs_fchown", "fchown")

WROTE = "<28>Nov 29 22:13:28 p[4915]: Failed to change owner\nmore"


def went_on(syscall: str, **change: Any) -> Reaction:
    """Two calls were tried, and nothing came of it."""
    plain = Reaction("nginx", syscall, tried=2, went_on=2, marked=0, untried=0)
    return replace(plain, **change)


def recommended(seen: Recording) -> CapSet:
    return decide(seen, CATALOG).recommended


@pytest.mark.parametrize("program", ["nginx", "a-program-with-a-long-name"])
def test_who_serves_and_goes_on_without_does_not_need_it(program: str) -> None:
    seen = recording(
        replace(OWNER, program=program),
        reactions=(went_on("fchown", program=program, marked=2, wrote=WROTE),),
        still_running=frozenset({program[:15]}),
    )
    need = decide(seen, CATALOG).need(OWNER.cap)
    assert need.verdict is Verdict.ADVISORY
    assert need.uncertain == (
        f"likely optional: refused in a copy, {program} went on and wrote 'Failed to change "
        "owner'; capadvise prove tells"
    )
    assert recommended(seen) == frozenset()


@pytest.mark.parametrize(
    ("asked", "reaction", "run", "optional"),
    [
        (OWNER, went_on("fchown"), SERVES, True),
        (OWNER, went_on("fchown", went_on=1), SERVES, False),
        (OWNER, went_on("fchown", untried=1), SERVES, False),
        (OWNER, went_on("fchown", tried=0, went_on=0), SERVES, False),
        (OWNER, went_on("fchown", program="another"), SERVES, False),
        (OWNER, went_on("chown"), SERVES, False),
        (OWNER, went_on("fchown"), {"still_running": frozenset({"another"})}, False),
        (OWNER, went_on("fchown"), ENDS, False),
        (PRIORITY, went_on("setpriority"), ENDS, True),
        (PRIORITY, went_on("setpriority", marked=1), ENDS, False),
        (PRIORITY, went_on("setpriority", marked=1), SERVES, False),  # nginx worker_priority
        (INTERFACE, went_on("ioctl"), ENDS, True),
        (KEYSTROKE, went_on("ioctl"), SERVES, False),
        (OPTION, went_on("setsockopt"), ENDS, True),
        (ROUTING, went_on("setsockopt"), SERVES, False),
        (IDENTITY, went_on("setuid"), SERVES, False),
        (UNKNOWN, went_on("fchown"), SERVES, False),
    ],
)
def test_the_rule(asked: Check, reaction: Reaction, run: dict[str, Any], *, optional: bool) -> None:
    seen = recording(asked, reactions=(reaction,), **run)
    need = decide(seen, CATALOG).need(asked.cap)
    assert (need.uncertain or "").startswith("likely optional: refused in a copy") is optional
    assert need.verdict is (Verdict.ADVISORY if optional else Verdict.USED)
    assert recommended(seen) == (frozenset() if optional else {asked.cap})


def test_what_was_really_refused_is_judged_by_what_came_of_it() -> None:
    refused = replace(PRIORITY, granted=False, result=-13)
    nothing = Held(frozenset(), frozenset(), frozenset())
    seen = recording(
        refused, reactions=(went_on("setpriority"),), held=nothing, succeeded=None, **SERVES
    )
    assert decide(seen, CATALOG).need(PRIORITY.cap).verdict is Verdict.USED


def test_one_call_without_an_answer_keeps_the_need() -> None:
    """Of another call of this run, of the same call in another one, or of another copy."""
    seen = recording(OWNER, reactions=(went_on("fchown"),), **SERVES)
    assert recommended(seen) == frozenset()
    also = replace(OWNER, syscall="lchown")
    assert recommended(replace(seen, checks=(OWNER, also))) == {OWNER.cap}
    assert decide_all((seen, replace(seen, reactions=())), CATALOG).recommended == {OWNER.cap}
    twice = replace(seen, reactions=(went_on("fchown"), went_on("fchown", went_on=1)))
    assert recommended(twice) == {OWNER.cap}


def test_a_program_that_holds_it_by_a_fixed_set_keeps_it() -> None:
    fixed = (("nginx", frozenset({OWNER.cap})),)
    seen = recording(OWNER, reactions=(went_on("fchown"),), fixed_capsets=fixed, **SERVES)
    assert recommended(seen) == {OWNER.cap}


def test_a_refusal_that_the_kernel_would_not_make_tells_nothing() -> None:
    """Without FSETID, chmod succeeds and drops the set-gid bit."""
    mode = check("FSETID", "capable_wrt_inode_uidgid setattr_prepare chmod_common", "fchmod")
    seen = recording(
        replace(mode, args=(("mode", 0o2755),)), reactions=(went_on("fchmod"),), **SERVES
    )
    assert recommended(seen) == parse_set(["FSETID"])


def test_what_is_likely_optional_decides_no_question() -> None:
    """Reading a file takes either of two; only what is likely optional would take the second."""
    read = check("DAC_READ_SEARCH", "generic_permission may_open", "openat")
    written = check("DAC_OVERRIDE", "generic_permission may_lookup link_path_walk", "fchown")
    alone = recommended(recording(read))
    seen = recording(read, written, reactions=(went_on("fchown"),), **SERVES)
    assert recommended(seen) == alone


@pytest.mark.parametrize(
    ("wrote", "told"),
    [
        ("Unable to chown\n", "nginx went on and wrote 'Unable to chown';"),
        ("<76>Nov  9 22:13:28 atd: Warning: no", "nginx went on and wrote 'Warning: no';"),
        ("<76>Warning", "nginx went on and wrote 'Warning';"),
        ("", "nginx went on;"),
        ("\0\0\0\0", "nginx went on;"),
        ("447115\n", "nginx went on;"),
        ("\x1b[31mred\nnext", "nginx went on and wrote 'next';"),
        ("x" * 200, f"nginx went on and wrote '{'x' * 79}…';"),
    ],
)
def test_what_a_copy_wrote_is_told_as_far_as_it_is_words(wrote: str, told: str) -> None:
    seen = recording(OWNER, reactions=(went_on("fchown", wrote=wrote),), **SERVES)
    assert told in (decide(seen, CATALOG).need(OWNER.cap).uncertain or "")


def test_the_pages_for_people_tell_it(tmp_path: Path) -> None:
    seen = recording(OWNER, reactions=(went_on("fchown", wrote="\x1b[31m\nno chown"),), **SERVES)
    told = "CHOWN: likely optional: refused in a copy, nginx went on and wrote 'no chown'"
    one = report(seen, "nginx")
    for page in (proposal_text(one, CATALOG, tmp_path / "r.json"), report_text(one, CATALOG)):
        assert told in " ".join(" ".join(page).split())


def test_the_screens_do_not_say_that_it_has_no_effect() -> None:
    choice = Choice(report(recording(OWNER, reactions=(went_on("fchown"),), **SERVES)))
    said = consequence(choice, OWNER.cap, "medium")
    assert said == "Not in the set: as far as one run tells, the program goes on without it."
    said = consequence(choice.toggle(OWNER.cap), OWNER.cap, "medium")
    assert said == "Added by you: it is likely optional, and it adds a medium risk."
    (seen,) = choice.report.proposal.need(OWNER.cap).evidence
    assert str(call_line(seen)) == "fchown  granted, likely optional  1×"


def test_copies_are_not_asked_about_calls_by_which_rights_are_given_up() -> None:
    """A program that stays root when it is refused goes on, too."""
    signs = CATALOG.signs
    kinds = (signs.gives_up_rights, signs.about_itself, signs.about_settings, signs.about_files)
    assert sum(map(len, kinds)) == len(frozenset().union(*kinds))


def test_where_all_is_likely_optional_nobody_is_told_to_drop_all_for_sure() -> None:
    seen = recording(OWNER, reactions=(went_on("fchown", marked=1, wrote=WROTE),), **SERVES)
    text = "\n".join(proposal_text(report(seen), CATALOG, None))
    assert "Most likely no capability is needed; what is uncertain stands below." in text
    assert text.index("Most likely") < text.index("Uncertain: CHOWN")


@pytest.mark.parametrize("change", [{"went_on": 1}, {"went_on": 0, "untried": 1}])
def test_what_a_program_says_without_what_it_needs_is_quoted(change: dict[str, int]) -> None:
    seen = recording(OWNER, reactions=(went_on("fchown", wrote=WROTE, **change),), **SERVES)
    need = decide(seen, CATALOG).need(OWNER.cap)
    assert need.lost_without == "a copy of nginx wrote 'Failed to change owner'"
    text = "\n".join(proposal_text(report(seen), CATALOG, None))
    assert "without it: a copy of nginx wrote 'Failed to change owner'" in text


def test_who_may_keep_running_privileged_is_told_so_whatever_it_says() -> None:
    """What it says does not matter there."""
    seen = recording(IDENTITY, reactions=(went_on("setuid", went_on=0, wrote=WROTE),))
    need = decide(seen, CATALOG).need(IDENTITY.cap)
    assert need.self_restricting
    assert need.lost_without is None
