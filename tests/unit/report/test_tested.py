"""What was exercised, and what was not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from capadvise.judgement.proven import Proven, Trial
from capadvise.judgement.report import Report
from capadvise.model.caps import parse_set
from capadvise.model.companion import NO_NEW_PRIVS
from capadvise.model.workload import Act, Step, Workload, only_greets, only_listens, only_refuses
from capadvise.report.text import proposal_text
from capadvise.report.text import tested_lines as exercised
from tests.support.screens import CATALOG, NGINX

PROVEN = Proven(isolation="command", trials=(), minimal=parse_set(["CHOWN"]), complete=True)
RELOAD = (Step(Act.START), Step(Act.CHECK), Step(Act.RELOAD), Step(Act.CHECK), Step(Act.STOP))


def with_(workload: Workload, proven: Proven | None = PROVEN) -> Report:
    return replace(NGINX, workload=workload, proven=proven)


@pytest.mark.parametrize(
    ("workload", "tested", "not_tested"),
    [
        (
            Workload("daemon", check="curl -fs\nlocalhost"),
            "start, health check (curl -fs localhost), stop; then start and "
            "health check again on the data of "
            "the first start",
            "reloads, and whatever the health check does not use",
        ),
        (
            Workload("daemon", check="$CAPADVISE_CHECK tcp:80 nginx"),
            "start, health check (listens on tcp 80; runs nginx), stop; "
            "then start and health check again on "
            "the data of the first start",
            "reloads, and whatever the health check does not use",
        ),
        (
            Workload("daemon", check="true", steps=RELOAD),
            "start, health check, reload, health check, stop",
            "whatever the health check does not use",
        ),
        (
            Workload("oneshot"),
            "one run, judged by its exit status",
            "other arguments, input and files",
        ),
        (
            Workload("oneshot", check="test -e \x1b[2J"),
            r"one run, judged by its health check (test -e \x1b[2J)",
            "other arguments, input and files",
        ),
    ],
)
def test_a_proof(workload: Workload, tested: str, not_tested: str) -> None:
    assert list(exercised(with_(workload))) == [
        f"Tested in each trial: {tested}.",
        f"Not tested: {not_tested}.",
    ]


@pytest.mark.parametrize(
    ("passed", "said"),
    [(True, "tried"), (False, "left out (a trial with it failed: su: no)"), (None, "not tried")],
)
def test_the_flags_that_trials_had_are_named(passed: bool | None, said: str) -> None:
    caps = NGINX.proposal.recommended
    trials = (Trial(caps, True, 1.0),)
    if passed is not None:
        lost = () if passed else ("su: no",)
        trials += (Trial(caps, passed, 1.0, differences=lost, instead=(NO_NEW_PRIVS.words,)),)
    report = with_(Workload("oneshot"), replace(PROVEN, trials=trials, minimal=caps))
    text = " ".join(" ".join(proposal_text(report, CATALOG, None)).split())
    assert f"Flags beside the set: no_new_privs {said}; default seccomp profile not tried." in text


def test_ports_that_are_only_listened_on() -> None:
    asked = "$CAPADVISE_CHECK tcp:445 tcp:80/http udp:123 smbd"
    assert only_listens(asked) == ("tcp 445", "udp 123")
    assert only_listens("nc -z localhost 445") == ()


def test_ports_where_nobody_logs_in() -> None:
    asked = "$CAPADVISE_CHECK tcp:22/ssh tcp:80/http tcp:445/smb tcp:993 smbd"
    assert only_greets(asked) == ("tcp 22", "tcp 445")
    assert only_greets("ssh localhost true") == ()


def test_ports_that_answered_with_an_error() -> None:
    asked = (
        "$CAPADVISE_CHECK tcp:80/http:404:text/html tcp:81/http:200 tcp:443/https:502 tcp:82/http"
    )
    assert only_refuses(asked) == ("tcp 80 (404)", "tcp 443 (502)")
    assert only_refuses("curl -fs localhost") == ()


def test_a_recording() -> None:
    (line,) = exercised(with_(Workload("oneshot"), None))
    assert line == "Not recorded: whatever the program did not do in this run."


def test_what_the_cautions_say_is_not_said_twice() -> None:
    report = with_(Workload("daemon"), None)
    attached = replace(report, recordings=(replace(report.recording, attached=True),))
    assert list(exercised(attached)) == []
