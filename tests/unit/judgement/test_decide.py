"""The table from call site to verdict, and the set that comes of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from capadvise.judgement.decide import Proof, Verdict, decide, decide_all
from capadvise.model.caps import Cap, parse_set
from capadvise.model.recording import Check, Lost, Namespace, Phase
from capadvise.report.text import drops_privileges
from tests.support import recordings
from tests.support.call_sites import (
    DENIED,
    EPERM,
    FACTS,
    INCIDENTAL,
    NEEDED,
    OVERRIDE,
    at,
    recorded,
)
from tests.support.recordings import FULL


@pytest.mark.parametrize(
    ("check", "verdict"),
    [
        (at("decides"), NEEDED),
        (at("decides", result=0), NEEDED),
        (at("decides", result=-22), INCIDENTAL),
        (at("decides", result=-16), NEEDED),
        (at("decides", result=-2), INCIDENTAL),
        (at("list", result=-2), NEEDED),
        (at("decides", granted=False, result=EPERM), DENIED),
        (at("decides", granted=False, result=0), DENIED),
        (at("decides", ns=Namespace.CHILD), INCIDENTAL),
        (at("decides", ns=Namespace.HOST, granted=False, result=EPERM), DENIED),
        (at("decides", phase=Phase.STOP), INCIDENTAL),
        (at("cond"), NEEDED),
        (at("cond", args=(("cmd", 7),)), NEEDED),
        (at("cond", args=(("cmd", 8),)), INCIDENTAL),
        (at("either"), NEEDED),
        (at("either", granted=False), DENIED),
        (at("silent", args=(("mode", 0o2755),)), NEEDED),
        (at("silent", args=(("mode", 0o2755),), granted=False), NEEDED),
        (at("silent", args=(("mode", 0o755),)), INCIDENTAL),
        (at("silent"), NEEDED),
        (at("self"), NEEDED),
        (at("self", granted=False), DENIED),
        (at("optional"), INCIDENTAL),
        (at("advisory"), INCIDENTAL),
        (at("foreign"), INCIDENTAL),
        (at("somewhere else"), NEEDED),
        (at("somewhere else", granted=False, result=EPERM), DENIED),
    ],
    ids=lambda value: "-".join(value.site[1:]) if isinstance(value, Check) else str(value),
)
def test_verdict(check: Check, verdict: Verdict) -> None:
    (need,) = decide(recorded(check), FACTS).needs
    assert need.verdict is verdict
    assert need.cap in decide(recorded(check), FACTS).recommended or verdict is not NEEDED


def test_a_refusal_of_what_the_target_could_not_have_is_a_need() -> None:
    refused = at("decides", granted=False, result=EPERM)
    lacking = recorded(refused, permitted=FULL - {Cap(13)})
    assert decide(lacking, FACTS).needs[0].verdict is NEEDED
    went_on = recorded(replace(refused, result=0), permitted=FULL - {Cap(13)})
    assert decide(went_on, FACTS).needs[0].verdict is DENIED
    request = replace(refused, result=None, site=(*refused.site, "netlink_sendmsg"))
    answered = recorded(request, permitted=FULL - {Cap(13)})
    assert decide(answered, FACTS).needs[0].verdict is NEEDED


def no(site: str, cap: Cap, **change: object) -> Check:
    return at(site, cap=cap, granted=False, result=EPERM, **change)


@pytest.mark.parametrize(
    ("checks", "chosen", "instead"),
    [
        ([no("read", Cap(2)), no("read", Cap(1))], "CAP_DAC_OVERRIDE", [(Cap(2),)]),
        ([no("read", Cap(2)), no("read", Cap(1), count=2)], "CAP_DAC_OVERRIDE", []),
        ([no("either", Cap(39)), no("either", Cap(21))], "CAP_BPF", [(Cap(21),)]),
        ([no("either", Cap(39)), no("decides", Cap(21))], "CAP_SYS_ADMIN", []),
    ],
)
def test_a_refused_question_and_the_one_that_follows_it_are_one(
    checks: list[Check], chosen: str, instead: list[tuple[Cap, ...]]
) -> None:
    proposal = decide(recorded(*checks, permitted=frozenset()), FACTS)
    (cap,) = proposal.recommended
    assert cap.name == chosen
    assert list(proposal.need(cap).alternatives) == instead


def test_what_is_not_known_is_worded_from_the_call_and_unproven() -> None:
    check = at("mtu_store_new", syscall="write", detail="/sys/class/net/lo/mtu")
    (need,) = decide(recorded(check), FACTS).needs
    assert need.reason == (
        "mtu_store_new in write(2) (/sys/class/net/lo/mtu), an unknown call site"
    )
    assert need.proof is Proof.NONE
    assert need.of_unknown_site


@pytest.mark.parametrize("site", ["silent", "somewhere else"])
def test_what_is_not_known_is_said(site: str) -> None:
    (need,) = decide(recorded(at(site)), FACTS).needs
    assert need.uncertain


def test_a_message_in_the_name_of_another_process_is_mostly_sent_in_its_own_instead() -> None:
    """systemd-notify asks for SYS_ADMIN so, and goes on without it: sd_pid_notify(3)."""
    site = "ns_capable scm_check_creds __scm_send unix_dgram_sendmsg ____sys_sendmsg"
    sent = recordings.check("SYS_ADMIN", site, "sendmsg")
    proposal = decide(recorded(sent), recordings.CATALOG)
    assert proposal.recommended == frozenset()
    (doubt,) = proposal.doubts
    assert "fails with EPERM, programs usually go on without the number" in doubt.why


def test_a_capability_that_the_catalog_does_not_know_is_kept() -> None:
    proposal = decide(recorded(at("decides", cap=Cap(55))), FACTS)
    assert [cap.name for cap in proposal.recommended] == ["CAP_55"]


ADMIN, BPF = Cap(21), Cap(39)


@pytest.mark.parametrize(
    ("checks", "chosen"),
    [
        ([at("read", cap=Cap(2))], ["CAP_DAC_OVERRIDE"]),
        ([at("read", cap=Cap(2)), at("read", cap=OVERRIDE)], ["CAP_DAC_OVERRIDE"]),
        ([at("read", cap=Cap(2)), at("decides", cap=Cap(2))], ["CAP_DAC_READ_SEARCH"]),
        ([at("either", cap=BPF)], ["CAP_BPF"]),
        ([at("either", cap=BPF), at("decides", cap=ADMIN)], ["CAP_SYS_ADMIN"]),
        ([at("read", cap=Cap(2), granted=False), at("read", cap=OVERRIDE)], ["CAP_DAC_OVERRIDE"]),
    ],
)
def test_either_or_questions_are_answered_together(checks: list[Check], chosen: list[str]) -> None:
    proposal = decide(recorded(*checks), FACTS)
    assert sorted(cap.name for cap in proposal.recommended) == chosen
    for cap in proposal.recommended:
        assert proposal.need(cap).verdict is NEEDED
        assert proposal.need(cap).evidence


def test_the_alternative_is_named() -> None:
    proposal = decide(recorded(at("read", cap=Cap(2))), FACTS)
    assert proposal.need(OVERRIDE).alternatives == ((Cap(2),),)
    assert proposal.need(Cap(2)).verdict is INCIDENTAL


def test_a_use_outweighs_any_number_of_other_checks() -> None:
    many = [at("advisory", count=10**6), at("decides"), at("decides", ns=Namespace.CHILD)]
    (need,) = decide(recorded(*many), FACTS).needs
    assert need.verdict is NEEDED
    assert need.evidence[0].check.site[-1] == "decides"
    assert sum(one.check.count for one in need.evidence) == 10**6 + 2


def test_one_use_that_gives_up_rights_is_enough_to_be_kept() -> None:
    (need,) = decide(recorded(at("decides"), at("self")), FACTS).needs
    assert need.self_restricting
    assert [*drops_privileges(need)] == [
        "used to drop privileges: without it, the program may keep running privileged"
    ]
    tried = replace(need, lost_without="the workload fails")
    assert [*drops_privileges(tried)] == ["used to drop privileges"]


def test_a_set_of_its_own_is_proposed_and_uncertain() -> None:
    own = (("bird", parse_set(["NET_ADMIN"])),)
    proposal = decide(recorded(fixed_capsets=own), FACTS)
    assert proposal.need(Cap(12)).verdict is NEEDED
    assert "capset(2) with a fixed set" in str(proposal.need(Cap(12)).uncertain)
    assert proposal.recommended == parse_set(["NET_ADMIN"])


def test_what_a_good_run_was_refused_is_tolerated() -> None:
    refused = at("decides", granted=False, result=EPERM)
    lacking = recorded(refused, permitted=FULL - {Cap(13)}, succeeded=True)
    assert decide(lacking, FACTS).needs[0].verdict is Verdict.OPTIONAL
    assert decide(lacking, FACTS).recommended == frozenset()


def test_what_is_asked_by_the_way_is_no_need() -> None:
    beside = at("optional", cap=Cap(38), syscall="perf_event_open")
    for program, verdict in (("p", INCIDENTAL), ("other", NEEDED)):
        proposal = decide(recorded(at("list"), replace(beside, program=program)), FACTS)
        assert proposal.need(Cap(13)).verdict is verdict


def test_mapping_root_implies_what_no_check_asks_for() -> None:
    mapping = at("mapping", ns=Namespace.CHILD, uid=0)
    assert decide(recorded(mapping), FACTS).recommended == parse_set(["SETFCAP"])
    assert decide(recorded(replace(mapping, uid=1000)), FACTS).recommended == frozenset()
    assert (
        decide(recorded(replace(mapping, ns=Namespace.TARGET)), FACTS).need(Cap(31)).verdict
        is Verdict.NOT_CHECKED
    )


def test_losses_and_io_uring_are_cautions() -> None:
    proposal = decide(recorded(lost=Lost(3, 4, 5), io_uring=True, interrupted=True), FACTS)
    assert len(proposal.cautions) == 5
    for cap in (2, 3):  # FOWNER: to delete from a sticky directory
        assert "io_uring" in str(proposal.need(Cap(cap)).uncertain)
    assert proposal.need(Cap(19)).uncertain == "events were dropped"


def test_a_need_says_when_and_how_often_it_was_seen() -> None:
    catalog, chown = recordings.CATALOG, Cap.parse("CHOWN")
    first, nothing = recordings.recording(recordings.CHOWN), recordings.recording()
    need = decide_all((first, replace(nothing, start=2)), catalog).need(chown)
    assert (need.only, need.seen) == ("only at the first start", (1, 2))
    need = decide_all((first, replace(first, start=2)), catalog).need(chown)
    assert (need.only, need.seen) == (None, (2, 2))
    need = decide_all((nothing, replace(first, start=2)), catalog).need(chown)
    assert need.only == "only from the second start on"
    need = decide_all((first, nothing), catalog).need(chown)
    assert need.only is None  # two recordings are no lifecycle
    need = decide_all((first, nothing, replace(nothing, start=2)), catalog).need(chown)
    assert need.only is None  # of the run that used it, no second start is known
