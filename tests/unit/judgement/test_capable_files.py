"""Needs for executing program files with capabilities."""

from __future__ import annotations

from dataclasses import replace

import pytest

from capadvise.judgement.decide import Verdict, decide
from capadvise.judgement.proven import Proven, Trial, conclude
from capadvise.judgement.refusals import refusals
from capadvise.model.caps import Cap, CapSet
from capadvise.model.companion import Companion, CompanionKind, in_plan, is_plain
from capadvise.model.recording import CapableFile, RefusedBy, RefusedCall
from capadvise.report.explain_report import ways_out
from tests.support.recordings import BIND, CATALOG, QUIET

PORT, RAW = Cap.parse("NET_BIND_SERVICE"), Cap.parse("NET_RAW")
FILE = CapableFile("/usr/bin/caddy", frozenset({PORT}))
WORDS = (
    "cannot be executed without it: /usr/bin/caddy has file capabilities cap_net_bind_service=ep"
)
UNUSED = replace(QUIET, checks=(), capable_files=(FILE,))
CURE = "setcap -r /usr/bin/caddy"


def test_a_file_is_a_certain_need_of_its_own() -> None:
    need = decide(UNUSED, CATALOG).need(PORT)
    assert (need.verdict, need.reason, need.uncertain) == (Verdict.NEEDED, WORDS, None)
    assert need.remediation is not None
    assert CURE in need.remediation
    assert "not tried" in need.remediation


def test_a_use_of_the_capability_is_said_as_well() -> None:
    need = decide(replace(QUIET, capable_files=(FILE,)), CATALOG).need(PORT)
    assert need.reason.startswith("binding")
    assert need.reason.endswith(WORDS)
    assert need.evidence[0].check.cap == BIND.cap


def test_no_advice_about_uses_makes_a_file_executable() -> None:
    """A high port does not: the capability is in the file."""
    (way,) = ways_out(decide(UNUSED, CATALOG), frozenset({PORT}), CATALOG)
    assert (way.use, way.edits) == ("executing /usr/bin/caddy", ())
    used = decide(replace(QUIET, capable_files=(FILE,)), CATALOG)
    ways = ways_out(used, frozenset({PORT}), CATALOG)
    assert ways
    assert all("executing /usr/bin/caddy" in one.others for one in ways)


@pytest.mark.parametrize(
    ("passed", "lost", "said"),
    [
        (True, (), "then it needs no capability, a trial passed"),
        (False, ("exited with 1",), "is not enough: in a trial, exited with 1"),
    ],
)
def test_the_trial_of_the_cure_is_in_the_remediation(
    passed: bool, lost: tuple[str, ...], said: str
) -> None:
    nothing: CapSet = frozenset()
    trials = (
        Trial(FILE.caps, True, 1),
        Trial(nothing, False, 1, PORT),
        Trial(nothing, passed, 1, PORT, differences=lost, instead=(CURE,)),
    )
    need = conclude(decide(UNUSED, CATALOG), Proven("command", trials, FILE.caps)).need(PORT)
    assert need.verdict is Verdict.REQUIRED
    assert said in str(need.remediation)


def test_a_companion_replaces_all_capabilities_of_a_file() -> None:
    file = replace(FILE, caps=frozenset({PORT, RAW}))
    trial = Trial(frozenset(), True, 1, PORT, instead=(CURE,))
    proven = Proven("command", (Trial(file.caps, True, 1), trial), file.caps)
    concluded = conclude(decide(replace(UNUSED, capable_files=(file,)), CATALOG), proven)
    for cap in file.caps:
        assert "a trial passed" in str(concluded.need(cap).remediation)


def test_a_refused_exec_is_explained_by_the_file() -> None:
    call = RefusedCall("execve", "EPERM", "sh", 1, 0, True)
    refused = replace(
        UNUSED, refused_calls=(call,), capable_files=(replace(FILE, refused_to="sh"),)
    )
    (one,) = refusals(refused, CATALOG, None)
    assert one.by is RefusedBy.CAPABILITY
    assert one.evidence.startswith("/usr/bin/caddy has file capabilities")
    (other,) = refusals(replace(refused, capable_files=(FILE,)), CATALOG, None)
    assert other.by is RefusedBy.UNKNOWN, "another program could execute it"


def test_the_companion_reads_what_it_writes_and_nothing_else() -> None:
    made = Companion.without_file_caps(["/a/b", "/c"])
    assert Companion.parse(made.words) == made
    assert made.kind is CompanionKind.FILE_CAPS
    assert in_plan([made])["uncapped"] == ["/a/b", "/c"]
    for hostile in ("/a,source=/", "/a:/b", "/a b", "/../etc", "a", "/a\n/b", "%h/x", "", "/"):
        assert not is_plain(hostile)
        assert in_plan([Companion.parse(f"setcap -r '{hostile}'")])["uncapped"] == []
    assert in_plan([Companion.parse("setcap -r '")])["uncapped"] == []
