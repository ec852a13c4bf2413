"""A report beside what was proven of the same program before."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from capadvise.catalog import default
from capadvise.judgement.proven import Proven
from capadvise.judgement.report import Report
from capadvise.model.caps import Cap, CapSet, parse_set
from capadvise.report.compared import compared, compared_in_short, compared_lines
from capadvise.report.dump import dump
from capadvise.report.load import load_recording
from tests.support.known import nginx_alone
from tests.support.recordings import RECORDING, report
from tests.support.recordings import check as check_by
from tests.support.schema import report as schema

INDEX = default().known_index


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    nginx_alone(monkeypatch)


def of(caps: str, *, minimal: bool = False, program: str = "nginx", **target: Any) -> Report:
    """A report with this set, proven or not."""
    made = report(replace(RECORDING, program=program))
    wanted: CapSet = parse_set(caps.split())
    proposal = replace(made.proposal, recommended=wanted, minimal=wanted if minimal else None)
    proven = Proven("command", (), wanted) if minimal else None
    user = replace(made.target, **{"user": "0:0", **target})
    return replace(made, target=user, proposal=proposal, proven=proven)


def said_of(made: Report) -> str:
    return " ".join(compared_lines(made, INDEX))


def test_the_same_set() -> None:
    made = of("CHOWN SETGID SETUID NET_BIND_SERVICE", minimal=True)
    name = "nginx 1.26.3 (port 80)"
    assert said_of(made) == f"As known for {name}: the same minimal set was proven there."
    assert said_of(replace(made, proven=None)).endswith(
        "the same recommended set was proven there."
    )


def test_what_differs_from_the_variant_that_comes_nearest() -> None:
    made = of("SETGID SETUID KILL")
    assert said_of(made) == (
        "Known for nginx 1.26.3 (port 8080): the recommended set is CHOWN, SETGID, SETUID. "
        "Here also needed: KILL. Not observed here: CHOWN. `capadvise known nginx` shows why."
    )
    proven = of("SETGID SETUID KILL NET_BIND_SERVICE", minimal=True)
    assert "Not observed here: CHOWN." in said_of(proven)  # whoever did not use it has not tried
    need = replace(proven.proposal.needs[0], cap=Cap.parse("CHOWN"))
    used = replace(proven, proposal=replace(proven.proposal, needs=(need,)))
    assert "Not needed here: CHOWN." in said_of(used)


@pytest.mark.parametrize(("start", "said"), [("0", True), ("1024", False), ("x", False)])
def test_where_low_ports_are_open_that_is_the_difference(start: str, said: bool) -> None:
    made = of("CHOWN SETGID SETUID DAC_OVERRIDE FOWNER NET_RAW KILL", minimal=True)
    name = "net.ipv4.ip_unprivileged_port_start"
    made = replace(made, posture=replace(made.posture, sysctls={name: start}))
    assert ("NET_BIND_SERVICE (net.ipv4.ip_unprivileged_port_start is 0)." in said_of(made)) is said


def test_trials_are_compared_with_trials() -> None:
    comparison = compared(of("SETGID SETUID", minimal=True), INDEX)
    assert comparison is not None
    assert (comparison.variant.name, comparison.more, comparison.less) == (
        "port 8080",
        set(),
        set(),
    )
    made = of("SETGID SETUID", minimal=True)
    assert made.proven is not None
    flaky = replace(made, proven=replace(made.proven, flaky=True))
    comparison = compared(flaky, INDEX)
    assert comparison is not None
    assert comparison.less == parse_set(["CHOWN"])


@pytest.mark.parametrize(
    ("program", "target", "is_known"),
    [
        ("nginx", {"argv": ("sh", "-c", "exec nginx")}, True),  # what was executed in the end
        ("sh", {"argv": ("nginx",)}, False),
        ("", {"argv": ("/usr/sbin/nginx", "-g")}, True),  # a report of before this was recorded
        ("", {"argv": ()}, False),
        ("sh", {"kind": "container", "image": "docker.io/library/nginx:1@sha256:ab"}, True),
        ("nginx", {"kind": "container", "image": "example.org/team/web"}, True),
        ("sh", {"kind": "container", "image": "example.org/nginx"}, False),
        ("sh", {"kind": "unit", "name": "web@one"}, True),
        ("sh", {"kind": "unit", "name": "other"}, False),
        ("tini", {}, True),  # the only known one among those that were checked
        ("redis-server", {"kind": "container", "image": "redis"}, False),
    ],
)
def test_what_a_target_is_known_by(program: str, target: dict[str, Any], is_known: bool) -> None:
    made = of("", program=program, **target)
    assert {check.program for check in made.recording.checks} >= {"nginx"}
    assert (compared(made, INDEX) is not None) is is_known


def test_an_image_that_did_something_else_is_not_compared() -> None:
    """``docker run nginx chown …``."""
    made = of("CHOWN", program="chown", kind="container", image="nginx")
    others = tuple(replace(check, program="chown") for check in made.recording.checks)
    run = replace(made.recording, checks=others)
    assert compared(replace(made, recordings=(run,)), INDEX) is None


def test_two_known_programs_below_an_init_are_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(INDEX.raw["commands"], "other", "another")  # type: ignore[index]
    made = of("", program="tini")
    more = replace(
        made.recording,
        checks=(*made.recording.checks, check_by("KILL", "", "kill", program="other")),
    )
    assert compared(replace(made, recordings=(more,)), INDEX) is None


@pytest.mark.parametrize("starter", ["gosu", "sudo", "tini"])
def test_what_only_starts_others_is_no_program_of_its_own(
    starter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(INDEX.raw["commands"], starter, "nginx")  # type: ignore[index]
    made = of("", program="tini")
    asked = check_by("KILL", "", "kill", program=starter)
    run = replace(made.recording, checks=(*made.recording.checks, asked))
    assert compared(replace(made, recordings=(run,)), INDEX) is not None
    alone = replace(made.recording, program=starter, checks=(asked,))
    assert compared(replace(made, recordings=(alone,)), INDEX) is None


def test_a_start_by_another_user_is_compared_with_such_a_start() -> None:
    assert said_of(of("", user="33:33")).startswith("As known for nginx 1.26.3 (by a user)")


def test_a_program_that_is_only_known_as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = json.loads(json.dumps(INDEX.raw))
    del raw["sets"]["nginx"]["variants"][2]
    monkeypatch.setattr(INDEX, "raw", raw)
    assert said_of(of("", user="33:33")) == ""


def test_another_version_is_said_and_escaped() -> None:
    made = of("", kind="container", image="nginx:9.9\x1b[2J")
    assert said_of(made).endswith("The proof is for nginx 1.26.3, not for 9.9\\x1b[2J.")


def test_the_tag_of_another_image_is_no_version_of_the_program() -> None:
    assert said_of(of("", kind="container", image="example.org/nginx:9")).endswith("shows why.")


def test_a_choice_on_a_screen() -> None:
    made, chosen = of("SETGID SETUID KILL"), parse_set(["SETGID", "SETUID", "KILL"])
    said = compared_in_short(made, INDEX, chosen)
    assert said == "Known for nginx 1.26.3: 3 → 3 (+KILL, −CHOWN)"
    proven = of("SETGID SETUID", minimal=True)  # a choice has what is optional: compared with such
    assert compared_in_short(proven, INDEX, parse_set(["CHOWN", "SETGID", "SETUID"])) == (
        "As known for nginx 1.26.3"
    )
    four = parse_set(["CHOWN", "SETGID", "SETUID", "NET_BIND_SERVICE"])
    assert compared_in_short(made, INDEX, four) == "As known for nginx 1.26.3"
    assert compared_in_short(of("", program="sh"), INDEX, four) is None


def test_the_json_says_it_too() -> None:
    made = of("SETGID SETUID KILL")
    document = json.loads(json.dumps(dump(made, default())))
    schema().validate(document)
    assert document["known"] == {
        "program": "nginx",
        "version": "1.26.3-3+deb13u11",
        "variant": "port 8080",
        "set": "recommended",
        "recommended": ["CAP_CHOWN", "CAP_SETGID", "CAP_SETUID"],
        "minimal": ["CAP_SETGID", "CAP_SETUID"],
        "more": ["CAP_KILL"],
        "less": ["CAP_CHOWN"],
    }
    assert load_recording(document["recordings"][0]).program == "nginx"
    nothing = dump(of("", program="sh", argv=("sh",)), default())
    assert nothing["known"] is None
