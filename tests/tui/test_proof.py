"""Trials from the screen: they come in, can be ended, and what they gave is in the review."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from textual.pilot import Pilot
from textual.widgets import Input, OptionList

from capadvise.judgement.decide import Verdict
from capadvise.judgement.proven import Proven, Trial
from capadvise.judgement.report import Report
from capadvise.model.caps import Cap, parse_set
from capadvise.model.companion import DEFAULT_SECCOMP, KNOWN, NO_NEW_PRIVS
from capadvise.model.errors import BadInput
from capadvise.tui.dialogs import OrderScreen
from capadvise.tui.prooftab import ProofTab, about, progress, tried
from capadvise.workflow.protocols import Ended, Starting
from tests.support.recordings import FULL
from tests.support.screens import (
    CHOWN,
    NGINX,
    Prover,
    app_on,
    drive,
    kept_report,
    page,
    press,
    proven,
    report,
    screen_text,
    shows,
)

Session = Pilot[Any]
SETUID = Cap.parse("SETUID")


def test_trials_come_in_and_their_result_flows_back_into_the_review() -> None:
    app = app_on(NGINX, Prover())

    async def script(pilot: Session) -> None:
        assert "Not tested yet." in shows(app, "#proof-sum")
        await press(pilot, "p")
        assert page(app).place == "proof"
        rows = [
            " ".join(str(option.prompt).split())
            for option in app.query_one("#trials", OptionList).options
        ]
        assert rows == [
            "1 everything ✓ passes 0.5 s",
            "2 none ✗ fails 0.5 s exited with 1",
            "3 recommended set ✓ passes 0.5 s",
            "4 without CHOWN ✗ fails 0.5 s exited with 1",
            "5 everything, again ✓ passes 0.5 s",
            "6 without SETUID ✓ passes 0.5 s nginx runs as 0:0",
            "7 without SETUID, again ✓ passes 0.5 s nginx runs as 0:0",
            "8 without NET_BIND_SERVICE ✗ fails 0.5 s exited with 1",
            "9 without CHOWN ✗ fails 0.5 s exited with 1",
            "10 SETUID for NET_BIND_SERVICE ✗ fails 0.5 s exited with 1",
        ]
        assert "✓ Proven minimal: it works with CHOWN, NET_BIND_SERVICE (2)" in shows(
            app, "#proof-sum"
        )
        assert "41 → 3 · root-equivalent → medium · ✓ proven, 10 trials" in shows(app, "#board")
        assert kept_report(app).proposal.need(SETUID).verdict is Verdict.OPTIONAL
        await press(pilot, "2", "down", "down")
        assert "Kept. Without it: it works, but nginx runs as 0:0 (proven by trial)." in " ".join(
            shows(app, "#why-text").split()
        )

    drive(app, script)


def test_a_trial_says_what_it_had_and_what_differed() -> None:
    app = app_on(proven())

    async def script(pilot: Session) -> None:
        await press(pilot, "3", "down", "down", "down", "down")
        assert "It had: all 41" in shows(app, "#trial-text")
        await press(pilot, "down")
        assert shows(app, "#trial-text").splitlines() == [
            "Trial 6, without SETUID: it passes after 0.5 s.",
            "It had: CHOWN, NET_BIND_SERVICE",
            "• nginx runs as 0:0",
        ]

    drive(app, script)


def test_a_search_that_is_ended_keeps_the_best_set() -> None:
    app = app_on(NGINX, Prover(stop_after=3))

    async def script(pilot: Session) -> None:
        await press(pilot, "p")
        assert kept_report(app).proven is not None
        assert not kept_report(app).proven.complete
        assert kept_report(app).proven.minimal == NGINX.proposal.recommended
        assert page(app).proof.can_start

    drive(app, script)


def test_one_that_is_ended_before_its_first_trial_leaves_the_report_as_it_was() -> None:
    app = app_on(NGINX, Prover(stop_after=0))

    async def script(pilot: Session) -> None:
        await press(pilot, "p")
        assert kept_report(app) is NGINX
        assert "stopped before the first trial ended" in shows(app, "#trial-text")

    drive(app, script)


def test_the_users_own_set_is_tried_once() -> None:
    app = app_on(proven(), Prover())

    async def script(pilot: Session) -> None:
        assert page(app).check_action("try", ()) is False  # the recommended set was tried
        await press(pilot, "space", "down", "space")
        assert "Not tested: y tests exactly this set." in " ".join(shows(app, "#status").split())
        await press(pilot, "y")
        assert kept_report(app).proven is not None
        assert kept_report(app).proven.trials[-1].caps == parse_set(["SETUID"])
        assert page(app).check_action("try", ()) is False
        await press(pilot, "2")
        assert "Contradicted: a trial of it failed: exited with 1." in shows(app, "#status")

    drive(app, script)


def test_leaving_ends_the_trials() -> None:
    prover = Prover()
    app = app_on(NGINX, prover)

    async def script(pilot: Session) -> None:
        page(app).proof.running = True
        await pilot.press("q")

    drive(app, script)
    assert prover.stopped


def test_where_no_trial_can_be_made_the_screen_says_why_and_the_keys_are_hidden() -> None:
    app = app_on(NGINX, Prover(why_not="it needs root"))

    async def script(pilot: Session) -> None:
        await press(pilot, "3")
        assert shows(app, "#proof-sum") == "Cannot prove: it needs root"
        names = ("prove", "try", "stop_trials")
        assert [page(app).check_action(name, ()) for name in names] == [False] * 3

    drive(app, script)


def test_a_health_check_is_asked_for_and_runs_only_when_confirmed() -> None:
    prover = Prover(why_not="no check")
    app = app_on(NGINX, prover)

    async def script(pilot: Session) -> None:
        await press(pilot, "p")
        assert shows(app, "#check-label") == "Shell command that succeeds when the program works:"
        assert app.query_one("#check", Input).value == "exec 3<>/dev/tcp/127.0.0.1/80"
        await press(pilot, "ctrl+u", *"curl 1", "enter")
        assert prover.check is None, "it is shown first"
        assert "runs as root" in shows(app, "#check-note")
        await press(pilot, "enter")
        assert prover.check == "curl 1"
        assert kept_report(app).proven is not None
        assert kept_report(app).workload.check == "curl 1"
        assert not app.query_one("#check-form").display

    drive(app, script)


def test_a_tab_that_asks_for_a_check_takes_no_keys_by_itself() -> None:
    app = app_on(NGINX, Prover(why_not="no check"))

    async def script(pilot: Session) -> None:
        await press(pilot, "3", "4")
        assert page(app).place == "risk"
        await press(pilot, "3", "2")
        assert page(app).place == "review"

    drive(app, script)


@dataclass
class Broken(Prover):
    """Its trials cannot be made."""

    def prove(self, known: Report, starting: Starting, ended: Ended) -> Report:
        raise BadInput("cannot isolate: cp: cannot stat '/gone'", hint="record it again")


def test_why_a_proof_failed_stays_on_the_screen() -> None:
    app = app_on(NGINX, Broken())

    async def script(pilot: Session) -> None:
        await press(pilot, "p", "2", "3")
        assert "✗ not proven" in str(app.query_one("#trials", OptionList).options[0].prompt)
        text = shows(app, "#trial-text")
        assert "cannot isolate: cp: cannot stat '/gone'" in text
        assert "record it again" in text

    drive(app, script)


def test_progress_is_a_bar_with_the_time_that_is_left() -> None:
    trials = list(proven().proven.trials)  # type: ignore[union-attr]
    recommended = NGINX.proposal.recommended
    begun, later = progress([], recommended), progress(trials[:3], recommended)
    assert begun.left is None
    assert str(later) == f"3 of at least {later.total} trials, about {later.left:.0f} s left"
    assert later.left == 0.5 * (later.total - 3)
    assert begun.bar(10) == " ░░░░░░░░░"
    assert later.bar(10).startswith("████")


def test_a_set_is_named_by_what_it_is_compared_with() -> None:
    trials = list(proven().proven.trials)  # type: ignore[union-attr]
    recommended = parse_set(["CHOWN", "SETUID", "NET_BIND_SERVICE"])
    named = {
        tried(parse_set(names), trials, recommended)
        for names in (
            [],
            ["CHOWN", "SETUID", "NET_BIND_SERVICE"],
            ["CHOWN", "SETUID"],
            ["CHOWN", "SETUID", "NET_BIND_SERVICE", "KILL"],
            ["KILL", "SYS_TIME"],
        )
    }
    assert named == {
        "none",
        "recommended set",
        "without NET_BIND_SERVICE",
        "with KILL too",
        "2 capabilities",
    }


def test_escape_leads_out_of_the_field_that_takes_all_keys() -> None:
    app = app_on(NGINX, Prover(why_not="no check"))

    async def script(pilot: Session) -> None:
        await press(pilot, "p", "1")
        assert app.screen.query_one("#check", Input).value.endswith("1")
        await press(pilot, "escape", "2")
        assert page(app).place == "review"

    drive(app, script)


def test_a_proven_report_that_is_opened_again_says_proven() -> None:
    """It said "Cannot prove: the recorded run failed", above its trials that passed."""
    app = app_on(proven(), Prover(why_not="the recorded run failed"))

    async def script(pilot: Session) -> None:
        await press(pilot, "3")
        said = shows(app, "#proof-sum")
        assert said.startswith("✓ Proven minimal: it works with CHOWN, NET_BIND_SERVICE (2)")
        assert said.endswith("Cannot prove again: the recorded run failed")

    drive(app, script)


def test_p_proves_a_proven_report_again() -> None:
    app = app_on(proven(), Prover(needs=parse_set(["CHOWN"])))

    async def script(pilot: Session) -> None:
        await press(pilot, "p")
        assert kept_report(app).proposal.minimal == parse_set(["CHOWN"])
        assert "it works with CHOWN, and fails without it" in shows(app, "#proof-sum")

    drive(app, script)


def test_a_proof_that_fails_with_everything_is_said_on_each_tab() -> None:
    """Header and Review went on saying "not tested"."""
    app = app_on(NGINX, Hopeless())

    async def script(pilot: Session) -> None:
        await press(pilot, "p")
        why = "in trials it fails even with every capability"
        assert f"✗ Not proven: {why}." in shows(app, "#proof-sum")
        assert f"? not proven: {why}" in screen_text(app)
        await press(pilot, "2")
        assert f"Not proven: {why}." in " ".join(shows(app, "#status").split())

    drive(app, script)


@dataclass
class Hopeless(Prover):
    """Its first trial fails."""

    def prove(self, known: Report, starting: Starting, ended: Ended) -> Report:
        trial = Trial(FULL, False, 0.5, differences=("exited with 1",))
        starting(FULL, ())
        ended(trial)
        return replace(known, proven=Proven("command", (trial,), None))


def test_a_running_trial_holds_a_set_that_is_not_called_needed() -> None:
    app = app_on(NGINX, Prover())

    async def script(pilot: Session) -> None:
        view = page(app)
        view.proof.running = view.proof._searching = True
        view.proof.post_message(ProofTab.TrialStarted(FULL))
        await press(pilot, "3")
        board = shows(app, "#board")
        assert "41 held · root-equivalent · in a trial" in board
        assert "needed" not in board
        assert "next:" not in board

    drive(app, script)


def test_the_progress_and_the_row_of_a_trial_agree() -> None:
    """Trials run side by side: the third to begin is not the third row."""
    trials = list(proven().proven.trials)[:2]  # type: ignore[union-attr]
    recommended = NGINX.proposal.recommended
    (bind,), sysctl = KNOWN[0]
    caps = recommended - {bind}
    begun = [tried(caps, trials, recommended), tried(caps, trials, recommended, (sysctl,))]
    rows = [
        about(Trial(caps, False, 0.5, without=bind), trials, recommended),
        about(Trial(caps, True, 0.5, without=bind, instead=(sysctl.words,)), trials, recommended),
    ]
    assert begun == rows == ["without NET_BIND_SERVICE", "sysctl for NET_BIND_SERVICE"]
    flags = tried(recommended, trials, recommended, (NO_NEW_PRIVS, DEFAULT_SECCOMP))
    assert flags == "with no_new_privs, seccomp"
    flags = tried(caps, trials, recommended, (NO_NEW_PRIVS,))
    assert flags == "without NET_BIND_SERVICE, with no_new_privs"
    app = app_on(NGINX, Prover())

    async def script(pilot: Session) -> None:
        view = page(app)
        view.proof.running = view.proof._searching = True
        await press(pilot, "3")
        view.proof.trials = trials
        view.proof.post_message(ProofTab.TrialStarted(recommended))
        view.proof.post_message(ProofTab.TrialStarted(caps, (sysctl,)))
        await pilot.pause()
        said = shows(app, "#proof-sum")
        assert "2 of at least 7 trials" in said
        assert said.endswith("Begun: recommended set, sysctl for NET_BIND_SERVICE")
        view.proof.post_message(ProofTab.TrialEnded(Trial(recommended, True, 0.5)))
        await pilot.pause()
        said = shows(app, "#proof-sum")
        assert "3 of at least 7 trials" in said
        assert said.endswith("Begun: sysctl for NET_BIND_SERVICE")
        view.proof.running = False

    drive(app, script)


def test_enter_on_an_empty_check_says_what_is_missing() -> None:
    app = app_on(report(CHOWN), Prover(why_not="no check"))

    async def script(pilot: Session) -> None:
        await press(pilot, "p")
        field = app.query_one("#check", Input)
        assert field.value == ""
        assert field.placeholder.startswith("a shell command, such as"), "no proposal"
        await press(pilot, "enter")
        assert "Type a command first" in shows(app, "#check-note")


def test_what_a_saved_report_runs_is_shown_before_it_runs() -> None:
    prover = Prover(shown=("command:   [b]nginx[/b]", "check:     curl -fs localhost"))
    app = app_on(NGINX, prover)

    async def script(pilot: Session) -> None:
        await press(pilot, "p")
        assert isinstance(app.screen, OrderScreen)
        shown = shows(app, "#order Static")
        assert "[b]nginx[/b]" in shown
        assert "curl -fs localhost" in shown
        await press(pilot, "escape")
        assert not page(app).proof.trials
        await press(pilot, "p", "enter")
        assert "✓ Proven minimal" in shows(app, "#proof-sum")
        await press(pilot, "p")
        assert not isinstance(app.screen, OrderScreen), "agreed already"

    drive(app, script)
