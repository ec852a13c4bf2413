"""What a user's own choice means, in sentences; and how a terminal's colours are told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from capadvise.judgement.conclusion import conclude_report
from capadvise.judgement.risk import RisksHere, risk_word
from capadvise.model.caps import Cap, parse_set
from capadvise.report.explain_report import report_text
from capadvise.report.lamps import lamps
from capadvise.report.text import proposal_text
from capadvise.report.words import without
from capadvise.tui.choice import Choice, compared, consequence, cost, status
from capadvise.tui.rows import ByCap, review_rows, seen
from capadvise.tui.theme import parse_background, theme
from tests.support.recordings import check, report_of
from tests.support.screens import BIND, BRK, CATALOG, CHOWN, HOSTNAME, NGINX, SETUID, proven, report

PROVEN = proven()
BIND_CAP = Cap.parse("NET_BIND_SERVICE")
CHOWN_CAP, SETUID_CAP = Cap.parse("CHOWN"), Cap.parse("SETUID")


@pytest.mark.parametrize(
    ("choice", "cap", "said"),
    [
        (
            Choice(NGINX),
            "SETUID",
            "Kept. Without it: the program may keep rights that it wants to give up (inferred, not "
            "tested).",
        ),
        (
            Choice(NGINX).toggle(SETUID_CAP),
            "SETUID",
            "Dropped by you. Without it: the program may keep rights that it wants to give up "
            "(inferred, not tested).",
        ),
        (
            Choice(PROVEN),
            "SETUID",
            "Kept. Without it: it works, but nginx runs as 0:0 (proven by trial).",
        ),
        (
            Choice(PROVEN).toggle(CHOWN_CAP),
            "CHOWN",
            "Dropped by you. Without it: it fails (exited with 1), proven by trial.",
        ),
        (
            Choice(NGINX),
            "SYS_ADMIN",
            "Not in the set: it was checked, and the result has no effect.",
        ),
        (Choice(NGINX), "BPF", "Not in the set: the kernel never checked it."),
        (
            Choice(NGINX).toggle(Cap.parse("SYS_ADMIN")),
            "SYS_ADMIN",
            "Added by you: it is not needed, and it adds a root-equivalent risk.",
        ),
        (
            Choice(PROVEN).following(()),
            "SETUID",
            "Not in the set: it works without it, but nginx runs as 0:0.",
        ),
    ],
)
def test_a_plain_sentence_says_what_keeping_or_dropping_does(
    choice: Choice, cap: str, said: str
) -> None:
    assert consequence(choice, Cap.parse(cap), risk_word(CATALOG.risk(Cap.parse(cap)))) == said


def test_what_a_rule_names_is_said_to_be_lost() -> None:
    """``Without it: the set-gid bit`` said the opposite."""
    site = "capable_wrt_inode_uidgid setattr_prepare notify_change chmod_common"
    kept = check("FSETID", site, "chmod", args=(("mode", 0o2755),))
    one = report_of(kept)
    told = "the program loses the set-gid bit of the new mode"
    assert without(one.proposal.need(kept.cap)) == told
    shown = consequence(Choice(one), kept.cap, "low")
    assert shown == f"Kept. Without it: {told} (inferred, not tested)."
    for page in (proposal_text(one, CATALOG, None), report_text(one, CATALOG)):
        assert f"without it: {told}" in " ".join(" ".join(page).split()).lower()


def said(choice: Choice) -> str:
    return status(choice, conclude_report(choice.report, CATALOG, choice.caps))


def test_the_whole_set_is_said_to_be_tried_or_not() -> None:
    both = Choice(PROVEN).toggle(BIND_CAP).toggle(CHOWN_CAP)
    assert [said(Choice(NGINX)), said(Choice(PROVEN)), said(both)] == [
        "Recorded once, not proven.",
        "Proven: it works.",
        "Not tested: y tests exactly this set.",
    ]
    assert cost(both) == (
        "Without CHOWN: it fails (exited with 1), proven by trial. "
        "Without NET_BIND_SERVICE: it fails (exited with 1), proven by trial."
    )
    assert cost(Choice(PROVEN)) is None
    minimal = "Proven minimal: it works, and fails without any one of them."
    assert said(Choice(PROVEN).toggle(SETUID_CAP)) == minimal


@pytest.mark.parametrize(
    ("choice", "language", "said"),
    [
        (
            Choice(report(CHOWN, BIND, SETUID, BRK)),
            "compose",
            "docker's default 14 → 3 (−11)",
        ),
        (
            Choice(report(HOSTNAME)),
            "podman",
            "podman's default 11 → 1 (−11, +SYS_ADMIN)",
        ),
        (
            Choice(replace(NGINX, target=replace(NGINX.target, engine="podman"))),
            "compose",
            "podman's default 11 → 3 (−8)",
        ),
        (
            Choice(report()),
            "kubernetes",
            "containerd's default 14 → 0 (−14)",
        ),
    ],
)
def test_a_set_is_compared_with_what_the_runtime_grants(
    choice: Choice, language: str, said: str
) -> None:
    assert compared(choice, CATALOG, language) == said


def test_a_new_proof_keeps_what_was_chosen_by_hand() -> None:
    choice = Choice(NGINX).toggle(SETUID_CAP).of(PROVEN)
    assert choice.caps == parse_set(["CHOWN", "NET_BIND_SERVICE"])


@pytest.mark.parametrize(
    ("environ", "background", "name"),
    [
        ({"COLORTERM": "truecolor"}, None, "textual-dark"),
        ({"COLORTERM": "truecolor", "COLORFGBG": "0;15"}, None, "textual-light"),
        ({"TERM": "xterm-256color"}, "#fafafa", "terminal"),
        ({"TERM": "xterm"}, "#000000", "ansi-dark"),
        ({"TERM": "linux"}, "#ffffff", "ansi-light"),
        ({"COLORTERM": "truecolor", "NO_COLOR": "1"}, "#101010", "ansi-dark"),
    ],
)
def test_the_theme_follows_the_terminal(
    environ: dict[str, str], background: str | None, name: str
) -> None:
    chosen = theme(environ, background)
    assert chosen.name == name
    if name == "terminal":
        assert (chosen.background, chosen.dark) == (background, False)


@pytest.mark.parametrize(
    ("answer", "colour"),
    [
        (b"\x1b]11;rgb:1e1e/2020/ffff\x1b\\\x1b[?62c", "#1e20ff"),
        (b"\x1b]11;rgba:ff/80/00/ff\x07\x1b[?1;2c", "#ff8000"),
        (b"\x1b[?1;2c", None),
        (b"", None),
    ],
)
def test_a_terminals_answer_is_read(answer: bytes, colour: str | None) -> None:
    assert parse_background(answer) == colour


def test_what_may_be_needed_has_a_group_and_a_sentence_of_its_own() -> None:
    asked = check("KILL", "ns_capable check_kill_permission", "kill", args=(("signal", 0),))
    choice = Choice(report_of(asked, BRK))
    proposal, risks = choice.report.proposal, RisksHere(choice.report, CATALOG)
    lit = lamps((asked.cap, BRK.cap), proposal, choice.caps, choice.start, risks)
    rows = review_rows(choice, lit, risks, ByCap(seen), {})
    assert {row.cap.short: row.title for row in rows} == {
        "KILL": "May be needed",
        "SYS_ADMIN": "Incidental",
    }
    said = "Not in the set: it may be needed, but one run shows no need for it."
    assert consequence(choice, asked.cap, "medium") == said
    added = "Added by you: it may be needed, and it adds a medium risk."
    assert consequence(choice.toggle(asked.cap), asked.cap, "medium") == added
