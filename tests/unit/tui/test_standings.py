"""Each standing on each surface of the screens: none calls a failed, unseen or doubtful run good,
and none a good one doubtful."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from textual.content import Content

from capadvise.judgement.conclusion import PASSED, WITHOUT_SET, PassedSet, Standing
from capadvise.judgement.decide import Need
from capadvise.judgement.report import Report
from capadvise.model.target import Target
from capadvise.report.lamps import score_of
from capadvise.report.pages import PAGES
from capadvise.tui.choice import Choice, consequence, loss
from capadvise.tui.header import Board, doing, next_step
from capadvise.tui.livetab import LiveTab, TargetLine
from capadvise.tui.prooftab import ProofTab
from capadvise.tui.reviewtab import ReviewTab
from capadvise.tui.risktab import RiskTab
from capadvise.tui.save import Save
from capadvise.tui.snippets import chosen, rendered
from capadvise.tui.state import TargetState
from capadvise.tui.tab import Opened
from capadvise.workflow.protocols import Over, unconfirmed
from tests.support.live_screen import ToldRecorder
from tests.support.recordings import CATALOG
from tests.support.screens import PATH
from tests.support.standings import BIND, NEEDS, STANDINGS, SYSCTL, report_with, with_sysctl

GOOD = re.compile(r"✓|[Dd]rop (them )?all|\bproven\b|None needed|no risk")
"""Words that call a set good."""
DOUBT = re.compile(r"✗|\bunknown\b|not proven|failed|Cannot|may be needed|No need was seen", re.I)
OPENED = Opened(CATALOG, ("web",), None)


def ended(report: Report) -> TargetState:
    """A target whose recording has just ended."""
    state = TargetState("web", CATALOG)
    state.ended(Over(report, PATH), lambda _: None)
    return state


def header(state: TargetState) -> list[Content]:
    step = next_step(state, can_prove=True, can_apply=False)
    board = Board(
        state.lamps(),
        state.score(),
        doing(None, state),
        None,
        shape="usual",
        step=step,
        in_trial=False,
    )
    return board.lines(160)


def live(state: TargetState) -> list[Content]:
    told = doing(ToldRecorder(), state, hint=True)
    return [told, LiveTab("live", OPENED)._why(state)]


def targets(state: TargetState) -> list[Content]:
    return TargetLine(state).lines(120)


def review(state: TargetState) -> list[Content]:
    tab = ReviewTab("review", OPENED)
    tab._state = state
    assert state.choice is not None
    return tab._status(state.choice, state).lines(200)


def proof(state: TargetState) -> list[Content]:
    tab = ProofTab("proof", OPENED)
    tab._choice, tab._reported, tab._obstacle = state.choice, state.reported, None
    return tab._sentence().lines(200)


def risk(state: TargetState) -> list[Content]:
    tab = RiskTab("risk", OPENED)
    tab._state = state
    assert state.choice is not None
    return [tab._sum(state, state.choice)]


def saving(state: TargetState) -> list[Content]:
    save = Save(state, "compose", unconfirmed)
    text = rendered(save.choices[0], "compose", CATALOG)
    first = next(line for line in text.splitlines() if line.lstrip().startswith("#"))
    return [save.rests_on(save.choices[0]), Content(first)]


SURFACES: dict[str, Callable[[TargetState], list[Content]]] = {
    "header": header,
    "live": live,
    "targets": targets,
    "review": review,
    "proof": proof,
    "risk": risk,
    "save": saving,
}


def plain(lines: list[Content]) -> str:
    return "\n".join(line.plain for line in lines)


def green(lines: list[Content]) -> str:
    """The texts in the style of success, except the lamps."""
    found = []
    for line in lines:
        for span in line.spans:
            if "success" in str(span.style):
                found.append(line.plain[span.start : span.end])
    return " ".join(text for text in found if text.strip("●◆ "))


@pytest.mark.parametrize("needs", [True, False])
@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("standing", STANDINGS)
def test_no_surface_says_more_or_less_than_the_conclusion(
    standing: Standing, surface: str, needs: bool
) -> None:
    state = ended(report_with(standing, needs=needs))
    assert state.conclusion is not None
    assert state.conclusion.standing is standing
    lines = SURFACES[surface](state)
    text = "\n".join(line.plain for line in lines)
    allowed = re.sub(r"(?i)not (yet )?proven( minimal)?|until it is proven", "", text)
    if standing in PASSED:
        assert not DOUBT.search(text), text
    elif standing is Standing.RECORDED:
        assert "proven" not in allowed, text
    else:
        assert not GOOD.search(allowed), text
        assert not green(lines), text


@pytest.mark.parametrize("needs", [True, False])
@pytest.mark.parametrize("standing", STANDINGS)
def test_the_header_names_the_standing_and_one_next_step(standing: Standing, needs: bool) -> None:
    state = ended(report_with(standing, needs=needs))
    text = "\n".join(line.plain for line in header(state))
    assert state.conclusion is not None
    sign = {True: "✓", False: "✗", None: "?"}[score_of(state.conclusion).good]
    assert f"{sign} {state.conclusion.standing_words}"[:40] in text
    assert text.count("next: ") == 1
    assert ("→ ?" in text) == (standing in WITHOUT_SET)


def test_a_key_stands_for_the_step_where_one_does_it() -> None:
    def said(standing: Standing, **can: bool) -> str:
        state = ended(report_with(standing))
        return next_step(state, **{"can_prove": True, "can_apply": False} | can).plain

    assert said(Standing.RECORDED) == "next: p proves it"
    assert said(Standing.RECORDED, can_prove=False) == f"next: capadvise prove {PATH}"
    assert said(Standing.PROVEN) == "next: s saves it"
    assert said(Standing.PROVEN, can_apply=True) == "next: a applies it"
    assert said(Standing.RUN_FAILED) == "next: capadvise run -- web --serve"


def test_what_the_user_changed_is_tested_next() -> None:
    state = ended(report_with(Standing.PROVEN_MINIMAL))
    assert state.choice is not None
    state.choose(state.choice.toggle(CATALOG.removal_order[0]))
    assert next_step(state, can_prove=True, can_apply=False).plain == "next: y tests this set"


# ------------------------------------------------------------------- sets that passed


def chosen_with_sysctl() -> TargetState:
    state = ended(with_sysctl())
    assert state.choice is not None
    assert state.conclusion is not None
    state.choose(state.choice.following(state.conclusion.also_passed))  # the minimal set
    state.choose(state.choice.following(state.conclusion.also_passed))
    return state


def test_a_set_that_passed_with_something_beside_it_can_be_chosen() -> None:
    state = ended(with_sysctl())
    assert f"CHOWN with {SYSCTL} passed, too: t chooses it." in plain(review(state))
    titles = [choice.name for choice in Save(state, "compose", unconfirmed).choices]
    assert titles == ["the recommended set", "the minimal set", f"the set with {SYSCTL}"]
    state = chosen_with_sysctl()
    assert state.choice is not None
    assert state.choice.caps == NEEDS
    assert "41 → 1 · root-equivalent → medium · ✓ proven" in plain(header(state))
    assert plain(review(state)).startswith(f"The set with {SYSCTL}: 1 kept. Proven: it works.")
    out = consequence(state.choice, BIND.cap, "low")
    assert out == f"Not in the set: together with {SYSCTL}, it works without it."
    empty = replace(state.choice, passed=PassedSet(frozenset(), (SYSCTL,)))
    state.choose(empty)
    assert "None needed" not in plain(review(state)), "it needs the sysctl"
    state.undo()
    assert state.conclusion is not None
    state.choose(state.choice.following(state.conclusion.also_passed))
    assert state.choice == Choice(state.choice.report), "and the first one again"


def test_the_set_without_what_stood_beside_it_is_not_called_good() -> None:
    state = ended(with_sysctl())
    assert state.choice is not None
    state.choose(state.choice.toggle(BIND.cap))
    assert state.conclusion is not None
    assert state.conclusion.standing is Standing.CONTRADICTED
    assert "it fails (exited with 1)" in loss(Choice(state.choice.report), need_of_bind(state))


def need_of_bind(state: TargetState) -> Need:
    return state.proposal.need(BIND.cap)


@pytest.mark.parametrize(
    ("language", "line"),
    [
        ("compose", "net.ipv4.ip_unprivileged_port_start: 0"),
        ("docker", f"--sysctl={SYSCTL}"),
        ("podman", f"--sysctl={SYSCTL}"),
        ("quadlet", f"Sysctl={SYSCTL}"),
        ("kubernetes", "- name: net.ipv4.ip_unprivileged_port_start"),
        ("oci", '"net.ipv4.ip_unprivileged_port_start": "0"'),
        ("systemd", f"passed its trial together with {SYSCTL}"),
    ],
)
def test_it_is_written_with_what_stood_beside_it(language: str, line: str) -> None:
    choice = chosen_with_sysctl().choice
    assert choice is not None
    text = rendered(choice, language, CATALOG)
    assert line in re.sub(r"\n# +", " ", text)
    assert "NET_BIND_SERVICE" not in re.sub("#.*", "", text)
    assert line not in re.sub(r"\n# +", " ", rendered(Choice(choice.report), language, CATALOG))


def test_a_hostile_companion_of_a_report_is_written_into_no_file() -> None:
    report = with_sysctl()
    evil = "x=1\n    privileged: true"
    state = ended(report)
    assert state.choice is not None
    choice = replace(state.choice, passed=PassedSet(NEEDS, (evil,)))
    text = rendered(choice, "compose", CATALOG)
    assert "privileged: true" not in re.sub("#.*", "", text)


# ------------------------------------------------------------------- the baseline


def test_the_baseline_is_what_the_target_is_granted_today() -> None:
    """The container's 14, where the screens said 41, "root-equivalent", of everything."""
    grants = CATALOG.baselines.default("docker").grants
    known = report_with(Standing.RECORDED)
    target = Target("container", "web", ("web",), "/", "0:0", engine="docker", granted=grants)
    state = ended(replace(known, target=target))
    assert state.choice is not None
    assert "14 → 1 · high → medium" in plain(header(state))
    for page in ("svg", "markdown"):
        text = PAGES[page].render(chosen(state.choice, CATALOG))
        assert "14 → 1" in text
        assert "41 →" not in text
