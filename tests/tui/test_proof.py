"""Trials from the screen: they come in, can be ended, and what they gave is in the review."""

from __future__ import annotations

from typing import Any

from textual.pilot import Pilot
from textual.widgets import Input, OptionList

from capadvise.caps import Cap, parse_set
from capadvise.decide import Verdict
from capadvise.tui.proof import tried
from tests.support.screens import NGINX, Prover, app_on, drive, page, press, proven, shows

Session = Pilot[Any]
SETUID = Cap.parse("SETUID")


def test_trials_come_in_and_their_result_flows_back_into_the_review() -> None:
    app = app_on(NGINX, Prover())

    async def script(pilot: Session) -> None:
        assert "Not proven yet." in shows(app, "#proof-sum")
        await press(pilot, "p")
        assert page(app).place == "proof"
        rows = [
            " ".join(str(option.prompt).split())
            for option in app.query_one("#trials", OptionList).options
        ]
        assert rows == [
            "1 everything ✓ passes 0.5 s",
            "2 nothing ✗ fails 0.5 s exited with 1",
            "3 recommended set ✓ passes 0.5 s",
            "4 without CHOWN ✗ fails 0.5 s exited with 1",
            "5 without SETUID ✓ passes 0.5 s nginx runs as 0:0",
            "6 without SETUID, again ✓ passes 0.5 s nginx runs as 0:0",
            "7 without NET_BIND_SERVICE ✗ fails 0.5 s exited with 1",
            "8 without CHOWN ✗ fails 0.5 s exited with 1",
        ]
        assert "Proven: it works with the floor" in shows(app, "#proof-sum")
        assert page(app).report.proposal.need(SETUID).verdict is Verdict.TOLERATED
        await press(pilot, "1", "down")
        assert "Kept. Without it: the workload passes (tried), but nginx runs as 0:0." in shows(
            app, "#why-text"
        )

    drive(app, script)


def test_a_trial_says_what_it_had_and_what_differed() -> None:
    app = app_on(proven())

    async def script(pilot: Session) -> None:
        await press(pilot, "2", "down", "down", "down", "down")
        assert shows(app, "#trial-text").splitlines() == [
            "Trial 5, without SETUID: it passes after 0.5 s.",
            "It had: CHOWN, NET_BIND_SERVICE",
            "• nginx runs as 0:0",
        ]

    drive(app, script)


def test_a_search_that_is_ended_keeps_the_best_set() -> None:
    app = app_on(NGINX, Prover(stop_after=3))

    async def script(pilot: Session) -> None:
        await press(pilot, "p")
        assert page(app).report.proven is not None
        assert not page(app).report.proven.complete
        assert page(app).report.proven.floor == NGINX.proposal.recommended
        assert page(app).proof.can_start

    drive(app, script)


def test_one_that_is_ended_before_its_first_trial_leaves_the_report_as_it_was() -> None:
    app = app_on(NGINX, Prover(stop_after=0))

    async def script(pilot: Session) -> None:
        await press(pilot, "p")
        assert page(app).report is NGINX
        assert [note.message for note in app._notifications] == [
            "stopped before the first trial ended"
        ]

    drive(app, script)


def test_the_users_own_set_is_tried_once() -> None:
    app = app_on(proven(), Prover())

    async def script(pilot: Session) -> None:
        assert page(app).check_action("try", ()) is False  # the recommended set was tried
        await press(pilot, "space", "down", "down", "space")
        assert shows(app, "#status").splitlines()[1] == "not tried"
        await press(pilot, "y")
        assert page(app).report.proven is not None
        assert page(app).report.proven.trials[-1].caps == parse_set(["SETUID"])
        assert page(app).check_action("try", ()) is False
        await press(pilot, "1")
        assert shows(app, "#status").splitlines()[1] == "tried: fails: exited with 1"

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
        await press(pilot, "2")
        assert shows(app, "#proof-sum") == "Cannot prove: it needs root"
        assert [page(app).check_action(name, ()) for name in ("prove", "try", "stop")] == [
            False
        ] * 3

    drive(app, script)


def test_where_nothing_tells_success_the_user_says_what_does() -> None:
    prover = Prover(why_not="no check")
    app = app_on(NGINX, prover)

    async def script(pilot: Session) -> None:
        await press(pilot, "p")
        assert shows(app, "#proof-sum").startswith("What shows that it works?")
        await press(pilot, *"curl 1", "enter")
        assert prover.check == "curl 1"
        assert page(app).report.proven is not None
        assert page(app).report.workload.check == "curl 1"
        assert not app.query_one("#check").display

    drive(app, script)


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
        "nothing",
        "recommended set",
        "without NET_BIND_SERVICE",
        "with KILL too",
        "2 capabilities",
    }


def test_escape_leads_out_of_the_field_that_takes_all_keys() -> None:
    app = app_on(NGINX, Prover(why_not="no check"))

    async def script(pilot: Session) -> None:
        await press(pilot, "p", "1")
        assert app.screen.query_one("#check", Input).value == "1"
        await press(pilot, "escape", "1")
        assert page(app).place == "review"

    drive(app, script)
