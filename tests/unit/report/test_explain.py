"""Explanations: what is said follows from the facts, the evidence and the place."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from capadvise.catalog import default
from capadvise.catalog.capabilities import EditPlace, Risk
from capadvise.catalog.circumstances import Circumstance as C
from capadvise.judgement.decide import ONLY_HEALTHCHECK, Verdict, decide
from capadvise.judgement.proven import Proven
from capadvise.judgement.report import Report
from capadvise.judgement.risk import circumstances_of, remaining
from capadvise.model.caps import Cap, parse_set
from capadvise.model.posture import Cgroup, Exposed, Posture, Root, Seccomp, Sharing
from capadvise.model.recording import Check, Lost, Origin, Retried
from capadvise.report.explain import capability_text, rules_of, site_text
from capadvise.report.explain_report import report_text, ways_out
from capadvise.report.text import proposal_text
from capadvise.report.words import DROP_ALL
from tests.support.golden import assert_golden
from tests.support.known import nginx_alone
from tests.support.recordings import BIND, RECORDING, report

CATALOG = default()


def asked(cap: str, *site: str, number: int = 1, **more: object) -> Check:
    found = replace(BIND, id=number, cap=Cap.parse(cap), site=site, args=(), detail=None)
    return replace(found, **more)  # type: ignore[arg-type]


HOST_NAME = asked("SYS_ADMIN", "ns_capable", "__x64_sys_sethostname", syscall="sethostname")
MOUNT = asked("SYS_ADMIN", "ns_capable", "path_mount", "__x64_sys_mount", syscall="mount")
SETUID = asked("SETUID", "ns_capable", "__sys_setuid", syscall="setuid", args=(("uid", 33),))
SETGID = asked("SETGID", "ns_capable", "__sys_setgid", syscall="setgid", args=(("gid", 33),))
PERF = asked("SYS_ADMIN", "capable", "perf_allow_kernel", syscall="perf_event_open")


def of(*checks: Check, posture: Posture | None = None) -> Report:
    recording = replace(RECORDING, checks=checks, io_uring=False, lost=Lost(), fixed_capsets=())
    posture = Posture() if posture is None else posture
    return replace(
        report(),
        posture=posture,
        recordings=(recording,),
        proposal=decide(recording, CATALOG),
    )


HOST = {"user": Sharing.HOST, "net": Sharing.HOST, "pid": Sharing.HOST, "ipc": Sharing.HOST}
OWN = {name: Sharing.OWN for name in HOST}
CONTAINER = Root("overlay", read_only=False, host=False)


@pytest.mark.parametrize(
    ("cap", "posture", "risk"),
    [
        ("SYS_ADMIN", Posture(namespaces=HOST), Risk.ROOT),
        ("SYS_ADMIN", Posture(namespaces=OWN), Risk.HIGH),
        ("NET_ADMIN", Posture(namespaces=HOST), Risk.ROOT),
        ("NET_ADMIN", Posture(namespaces=OWN), Risk.HIGH),
        ("SYS_MODULE", Posture(namespaces=OWN), Risk.LOW),
        ("SYS_PTRACE", Posture(namespaces=HOST), Risk.ROOT),
        ("SYS_PTRACE", Posture(namespaces=OWN), Risk.MEDIUM),
        ("DAC_OVERRIDE", Posture(root=CONTAINER), Risk.HIGH),
        (
            "DAC_OVERRIDE",
            Posture(root=replace(CONTAINER, exposed=(Exposed("host-folder", "/d", True, "/d"),))),
            Risk.ROOT,
        ),
        (
            "DAC_OVERRIDE",
            Posture(root=replace(CONTAINER, exposed=(Exposed("host-folder", "/d", False, "/d"),))),
            Risk.HIGH,
        ),
        ("SYS_BOOT", Posture(namespaces=OWN, seccomp=Seccomp("filter")), Risk.LOW),
        ("SYS_BOOT", Posture(namespaces=HOST, seccomp=Seccomp("filter")), Risk.HIGH),
        ("CHOWN", Posture(), Risk.MEDIUM),
    ],
)
def test_the_risk_is_that_of_the_place(cap: str, posture: Posture, risk: Risk) -> None:
    entry = CATALOG.entry(Cap.parse(cap))
    assert entry is not None
    assert remaining(entry, circumstances_of(of(posture=posture))).risk is risk


def test_an_attack_is_possible_closed_or_hangs_on_what_is_not_known() -> None:
    entry = CATALOG.entry(Cap.parse("SYS_ADMIN"))
    assert entry is not None
    release_program = entry.attack[0]
    for version, group in (("v1", "possible"), ("v2", "closed"), (None, "depends")):
        cgroup = None if version is None else Cgroup(version, "/", writable=False)
        found = remaining(
            entry, circumstances_of(of(posture=Posture(namespaces=HOST, cgroup=cgroup)))
        )
        named = {
            "possible": found.possible,
            "closed": tuple(attack for attack, _ in found.closed),
            "depends": tuple(attack for attack, _ in found.depends),
        }
        assert [name for name, attacks in named.items() if release_program in attacks] == [group]


def test_each_use_that_was_seen_has_its_own_way_out() -> None:
    ways = ways_out(of(HOST_NAME).proposal, parse_set(["SYS_ADMIN"]), CATALOG)
    assert [(way.use, way.others, way.edits[0][0]) for way in ways] == [
        ("host name", (), EditPlace.COMPOSE)
    ]
    both = of(HOST_NAME, replace(MOUNT, id=2))
    ways = ways_out(both.proposal, both.proposal.recommended, CATALOG)
    assert {way.use: way.others for way in ways} == {
        "host name": ("mounting",),
        "mounting": ("host name",),
    }


def test_a_retried_call_without_call_site_names_its_use() -> None:
    retried = replace(HOST_NAME, site=(), retried=Retried.SHOWN, without="EPERM")
    ways = ways_out(of(retried).proposal, parse_set(["SYS_ADMIN"]), CATALOG)
    assert [way.use for way in ways] == ["host name"]


def test_what_takes_away_most_risk_stands_first_and_equal_edits_stand_once() -> None:
    several = of(SETUID, replace(SETGID, id=2), replace(HOST_NAME, id=3), replace(BIND, id=4))
    ways = ways_out(several.proposal, several.proposal.recommended, CATALOG)
    assert ways[0].use == "host name"
    users = [way for way in ways if (EditPlace.COMPOSE, 'user: "1000:1000"') in way.edits]
    assert [way.caps for way in users] == [(Cap.parse("SETGID"), Cap.parse("SETUID"))]
    assert [way.saves for way in ways] == sorted((way.saves for way in ways), reverse=True)


def test_a_way_to_a_narrower_capability_saves_the_difference() -> None:
    (way,) = ways_out(of(PERF).proposal, parse_set(["SYS_ADMIN"]), CATALOG)
    assert (way.narrower, way.saves) == ((Cap.parse("PERFMON"),), Risk.ROOT - Risk.HIGH)


def test_the_story_of_a_report(monkeypatch: pytest.MonkeyPatch) -> None:
    nginx_alone(monkeypatch)
    assert_golden("explain.txt", story())


def story() -> str:
    posture = Posture(
        namespaces={"user": Sharing.HOST, "net": Sharing.HOST, "pid": Sharing.OWN},
        root=replace(CONTAINER, exposed=(Exposed("host-folder", "/data", True, "/srv"),)),
        seccomp=Seccomp("filter"),
    )
    told = of(HOST_NAME, replace(SETUID, id=2), replace(BIND, id=3), posture=posture)
    target = replace(told.target, kind="container", image="web\x1b[2J", engine="docker")
    return "\n".join(report_text(replace(told, target=target), CATALOG)) + "\n"


@pytest.mark.parametrize("cap", [Cap(number) for number in range(41)], ids=str)
def test_explanations_fit_a_terminal(cap: Cap) -> None:
    for whole in (False, True):
        for line in capability_text(cap, CATALOG, whole=whole):
            assert len(line) <= 80 or line.startswith("  $ "), "commands are not wrapped"


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("sethostname", "SYS_ADMIN is checked: setting the host name"),
        ("may_open", "DAC_OVERRIDE would be enough, too."),
        ("security_vm_enough_memory_mm", "Never a reason to"),
    ],
)
def test_a_kernel_function_is_explained(function: str, said: str) -> None:
    rules = rules_of(function, CATALOG)
    lines = list(site_text(function, rules, CATALOG))
    assert said in "\n".join(lines)
    assert max(map(len, lines)) <= 80


def test_what_only_a_trial_found_is_said_so_and_has_no_way_of_its_own() -> None:
    told = of()
    need = replace(told.proposal.need(Cap.parse("SYS_PTRACE")), reason="found by trial")
    proposal = replace(told.proposal, needs=(need,), recommended=parse_set(["SYS_PTRACE"]))
    text = "\n".join(report_text(replace(told, proposal=proposal), CATALOG))
    assert "    - Found by trial." in text
    assert "  - SYS_PTRACE: no remediation is known for what was seen." in text


@pytest.mark.parametrize(("cap", "said"), [("DAC_OVERRIDE", True), ("CHOWN", False)])
def test_a_check_that_reads_what_is_not_its_own_can_become_the_owner(cap: str, said: bool) -> None:
    told = of()
    need = replace(told.proposal.need(Cap.parse(cap)), reason="seen", only=ONLY_HEALTHCHECK)
    proposal = replace(told.proposal, needs=(need,), recommended=parse_set([cap]))
    text = "\n".join(report_text(replace(told, proposal=proposal), CATALOG))
    assert ("do this instead: let the health check become the user" in text) is said


def test_circumstances_that_no_posture_tells_stay_unknown() -> None:
    place = circumstances_of(of())
    assert {c for c in C if place.get(c) is None} == set(C) - {C.UNCONFINED}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, "nginx needs no capability (root here holds all 41) · recorded once, not proven"),
        ({"succeeded": False, "exit_status": 3}, "nginx: run failed: exited with 3 · no need was"),
        (
            {"succeeded": None, "interrupted": True, "still_running": frozenset({"sleep"})},
            "no need was seen (root here holds all 41) · recorded in part: it was stopped before",
        ),
        ({"attached": True}, "no need was seen (root here holds all 41) · recorded in part: its"),
        (
            {"started_containers": True, "succeeded": False},
            "not judged: what daemons ran for the command was not recorded",
        ),
        ({"lost": Lost(1)}, "recorded in part: 1 event dropped; the absence of others is"),
        ({"lost": Lost(0, 1)}, "most likely needs no capability"),
        ({"io_uring": True}, "DAC_OVERRIDE, DAC_READ_SEARCH and 5 more may be needed"),
        ({"host": replace(RECORDING.host, observer="audit")}, "holds refusals only"),
    ],
)
def test_that_no_need_was_seen_is_no_proof_that_there_is_none(
    change: dict[str, Any], said: str
) -> None:
    seen = replace(RECORDING, checks=(), io_uring=False, lost=Lost(), fixed_capsets=())
    seen = replace(seen, **{"succeeded": True, **change})
    told = report(seen)
    for lines in (report_text(told, CATALOG), proposal_text(told, CATALOG, None)):
        text = " ".join(" ".join(lines).split())
        assert said in text
        assert (DROP_ALL in text) <= (not change)


@pytest.mark.parametrize(("engine", "count"), [("docker", 14), ("podman", 11), (None, 14)])
def test_a_set_is_compared_with_what_the_engine_grants(engine: str | None, count: int) -> None:
    told = report()
    told = replace(told, target=replace(told.target, engine=engine))
    name = engine or "docker"
    said = f"Compared with {name}'s defaults ({count} capabilities):"
    assert said in " ".join(" ".join(report_text(told, CATALOG)).split())


def test_a_recommended_set_that_failed_is_not_praised() -> None:
    told = report()
    minimal = parse_set(["CHOWN"])
    proven = Proven("command", (), minimal, recommended_sound=False)
    proposal = replace(told.proposal, minimal=minimal)
    text = " ".join(report_text(replace(told, proven=proven, proposal=proposal), CATALOG))
    lines = proposal_text(replace(told, proven=proven, proposal=proposal), CATALOG, None)
    for page in (text, " ".join(lines)):
        said = "contradicted: a trial of it failed · the minimal set passed: CHOWN"
        assert said in " ".join(page.split())


def test_the_highest_risk_is_that_of_the_place() -> None:
    """Its first lines said low, and its list of attacks medium."""
    lock = asked("IPC_LOCK", "capable", "__do_sys_mlockall", syscall="mlockall")
    text = "\n".join(report_text(of(lock), CATALOG))
    assert "root here holds all 41) · medium ·" in text
    assert "IPC_LOCK: medium risk." in text


def test_no_health_check_is_said_to_have_failed_where_there_is_none() -> None:
    told = of(replace(BIND, granted=True))
    needs = [replace(need, verdict=Verdict.REQUIRED) for need in told.proposal.needs]
    proposal = replace(told.proposal, needs=tuple(needs))
    work = replace(told.workload, kind="oneshot", check=None)
    text = "\n".join(report_text(replace(told, proposal=proposal, workload=work), CATALOG))
    assert "Proven by trial: without it, the workload fails." in text
    assert "health check" not in text


def test_what_stands_for_a_call_site_is_not_called_a_kernel_function() -> None:
    for origin in (Origin.HOLDER, Origin.AUDIT):
        heading = " ".join(site_text(origin, rules_of(origin, CATALOG), CATALOG)).split(".")[0]
        assert "kernel function" not in heading, origin
