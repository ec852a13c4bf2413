"""The live screen and its target: who has the keyboard, how large its terminal is, how it is
stopped, and what its end leads to."""

from __future__ import annotations

from dataclasses import replace

import pytest

from capadvise.cli.commands.screens import _print_output
from capadvise.judgement.report import Report
from capadvise.model.errors import CannotStart
from capadvise.model.recording import Check
from capadvise.model.workload import Workload
from capadvise.tui.output import Output
from capadvise.workflow.protocols import Over
from tests.support.live_screen import (
    OVER,
    Session,
    ToldRecorder,
    live_on,
    look,
    rows,
    seen,
    state_line,
)
from tests.support.screens import (
    BIND,
    BRK,
    CHOWN,
    NGINX,
    PATH,
    drive,
    press,
    report,
    screen_text,
    shows,
)


def test_how_to_go_on_has_room_on_a_small_screen() -> None:
    failed = replace(NGINX, recordings=(replace(NGINX.recording, exit_status=139),))
    recorder = ToldRecorder(end=Over(failed, PATH))
    app, view = live_on(recorder)

    async def script(pilot: Session) -> None:
        await look(pilot, view)
        assert view.place == "live"
        assert "after 0.1 s · Enter: review\n" in screen_text(app)

    drive(app, script, (80, 24))


def test_freezing_stops_the_display_and_nothing_else() -> None:
    recorder = ToldRecorder()
    app, view = live_on(recorder)

    async def script(pilot: Session) -> None:
        await press(pilot, "w")
        recorder.state, recorder.written = seen(BIND, seconds=5), b"line\r\n"
        await look(pilot, view)
        assert rows(view) == []
        assert state_line(app).startswith("● recording 5 s  display frozen")
        await press(pilot, "w")
        await look(pilot, view)
        assert len(rows(view)) == 2
        assert view.live.output.terminal.text() == ["line"]
        await press(pilot, "w")
        recorder.end = OVER
        await look(pilot, view)
        assert not view.frozen  # the end is shown in any case

    drive(app, script)


def test_the_keyboard_is_the_targets_until_it_is_taken_back() -> None:
    recorder = ToldRecorder(written=b"Password: ")
    app, view = live_on(recorder)

    async def script(pilot: Session) -> None:
        await press(pilot, "i", *"q1?", "space", "enter", "ctrl+c", "ctrl+q", "ctrl+p", "escape")
        assert recorder.typed == b"q1? \r\x03\x11\x10\x1b"
        assert recorder.stops == 0
        await press(pilot, "ctrl+right_square_bracket", "w")
        assert view.frozen
        await press(pilot, "w", "i", "tab")
        assert recorder.typed.endswith(b"\t")
        await pilot.click("#live-caps")
        assert not view.live.output.typing  # a click elsewhere takes it back, too

    drive(app, script)


def test_q_stops_the_target_and_then_leaves() -> None:
    recorder = ToldRecorder()
    app, view = live_on(recorder)

    async def script(pilot: Session) -> None:
        names = ("stop", "kill", "type", "review", "leave")
        assert [view.check_action(name, ()) for name in names] == [True, False, True, False, False]
        await press(pilot, "q", "ctrl+c")
        recorder.state = seen(BIND, stopping=9.0)
        await look(pilot, view)
        assert "q Kill" in shows(app, "#keys")
        assert recorder.stops == 2
        assert app.is_running
        recorder.end = OVER
        await look(pilot, view)
        await press(pilot, "1")
        assert [view.check_action(name, ()) for name in names] == [False, False, False, True, True]
        assert "q Quit" in shows(app, "#keys")
        await press(pilot, "q")
        assert not app.is_running

    drive(app, script)


@pytest.mark.parametrize("how", ["ctrl+q", "signal"])
def test_who_leaves_or_is_sent_away_waits_for_the_report(how: str) -> None:
    recorder = ToldRecorder()
    app, view = live_on(recorder)

    async def script(pilot: Session) -> None:
        if how == "signal":
            app._end(15)
        else:
            await press(pilot, how)
        assert app.is_running
        assert recorder.stops == 1
        recorder.end = OVER
        await look(pilot, view)
        await pilot.pause()
        assert not app.is_running

    drive(app, script)


def test_a_recording_flows_into_its_review_and_the_output_stays() -> None:
    recorder = ToldRecorder(written=b"hello")
    app, view = live_on(recorder)

    async def script(pilot: Session) -> None:
        await look(pilot, view)
        recorder.end = OVER
        await look(pilot, view)
        assert view.place == "review"
        assert len(view.review.caps.options) > 3
        await press(pilot, "space", "1")
        assert view.place == "live"
        assert "hello" in screen_text(app)
        await press(pilot, "2")
        assert view.choice is not None
        assert len(view.choice.caps) == 2

    drive(app, script)


def test_one_that_failed_stays_in_sight_and_enter_leads_on() -> None:
    recorder = ToldRecorder()
    app, view = live_on(recorder)

    async def script(pilot: Session) -> None:
        recorder.state = seen(BIND, CHOWN)
        await look(pilot, view)
        failed = replace(NGINX, recordings=(replace(NGINX.recording, exit_status=1),))
        recorder.end = Over(failed, PATH)
        await look(pilot, view)
        assert view.place == "live"
        assert "exited with 1" in state_line(app)
        view.live.caps.select(CHOWN.cap)
        await press(pilot, "enter")
        assert view.place == "review"
        assert view.review.caps.selected == CHOWN.cap

    drive(app, script)


@pytest.mark.parametrize("checks", [(), (BRK,), (BIND,)])
def test_enter_leads_on_whatever_was_seen_of_a_failed_run(checks: tuple[Check, ...]) -> None:
    """The cursor was on a folded group, which Enter folded and unfolded for ever."""
    recorder = ToldRecorder(state=seen(*checks))
    app, view = live_on(recorder)

    async def script(pilot: Session) -> None:
        await look(pilot, view)
        known = report(*checks)
        ran = replace(known.recording, exit_status=139, succeeded=False)
        recorder.end = Over(replace(known, recordings=(ran,)), PATH)
        await look(pilot, view)
        assert view.place == "live"
        assert "✗ crashed (SIGSEGV) after" in state_line(app)
        assert "✗ run failed" in shows(app, "#board")
        await press(pilot, "enter")
        assert view.place == "review"
        assert "Drop all" not in shows(app, "#status")

    drive(app, script)


def test_a_failed_check_of_a_command_is_no_good_end() -> None:
    """The header said "✓ exited with 0", and went on to the review."""
    app, view = live_on(recorder := ToldRecorder(check="false"))

    async def script(pilot: Session) -> None:
        ran = replace(NGINX.recording, succeeded=False)
        known = replace(NGINX, recordings=(ran,), workload=Workload(check="false"))
        recorder.end = Over(known, PATH, check_passed=False)
        await look(pilot, view)
        assert view.place == "live"
        assert "✗ health check failed after 0.1 s, exited with 0" in state_line(app)
        assert "✓" not in shows(app, "#board")

    drive(app, script)


def test_the_footer_names_the_kill_of_a_target_that_is_idle_while_it_stops() -> None:
    app, view = live_on(recorder := ToldRecorder(state=seen(BIND)))

    async def script(pilot: Session) -> None:
        await look(pilot, view)
        for seconds in range(2, 9):  # nothing is new, lit or counted any more
            recorder.state = replace(recorder.state, seconds=float(seconds))
            await look(pilot, view)
        assert "q Stop" in shows(app, "#keys")
        recorder.state = replace(recorder.state, stopping=9.0)
        await look(pilot, view)
        await pilot.pause()
        assert "q Kill" in shows(app, "#keys")

    drive(app, script)


@pytest.mark.parametrize("typing", [False, True])
def test_ctrl_c_copies_what_is_selected_and_does_not_stop_the_target(typing: bool) -> None:
    app, view = live_on(recorder := ToldRecorder(written=b"hello world\r\nsecond\r\n"))

    async def script(pilot: Session) -> None:
        await look(pilot, view)
        if typing:
            await press(pilot, "i")
        await pilot.mouse_down(view.live.output, offset=(1, 1))
        await pilot.hover(view.live.output, offset=(11, 1))
        await pilot.mouse_up(view.live.output, offset=(11, 1))
        assert "reverse" in str(view.live.output.render_line(0)._segments)
        await press(pilot, "ctrl+c")
        assert app.clipboard == "hello world"
        assert recorder.stops == 0
        assert recorder.typed == b""
        await press(pilot, "ctrl+c")
        assert (recorder.stops, recorder.typed) == ((0, b"\x03") if typing else (1, b""))

    drive(app, script)


def test_the_keyboard_is_given_when_the_target_waits_and_not_twice_against_the_users_will() -> None:
    recorder = ToldRecorder(waits=True)
    app, view = live_on(recorder)

    async def script(pilot: Session) -> None:
        await look(pilot, view)
        assert view.live.output.typing
        assert shows(app, "#keys").split("  ")[0] == "^] capadvise's own keys"
        await press(pilot, "ctrl+right_square_bracket")
        await look(pilot, view)
        assert not view.live.output.typing
        assert "w Freeze" in shows(app, "#keys")
        recorder.waits = False
        await look(pilot, view)
        recorder.waits = True
        await look(pilot, view)
        assert view.live.output.typing

    drive(app, script)


def test_with_prove_the_trials_begin_by_themselves() -> None:
    recorder = ToldRecorder()
    app, view = live_on(recorder, at_once=True)

    async def script(pilot: Session) -> None:
        recorder.end = OVER
        await look(pilot, view)
        await press(pilot)
        assert view.place == "proof"
        assert view.choice is not None
        assert view.choice.report.proven is not None

    drive(app, script)


def test_a_target_that_cannot_be_started_ends_it() -> None:
    recorder = ToldRecorder()
    app, view = live_on(recorder)

    async def script(pilot: Session) -> None:
        recorder.error = CannotStart("cannot execute it", exists=True)
        await look(pilot, view)
        assert not app.is_running

    drive(app, script)


def test_the_targets_terminal_is_as_large_as_its_pane() -> None:
    recorder = ToldRecorder()
    app, _ = live_on(recorder)

    async def script(pilot: Session) -> None:
        await pilot.resize_terminal(80, 24)
        await pilot.pause(0.2)
        assert recorder.size is not None
        assert recorder.size[0] == 77

    drive(app, script)


@pytest.mark.parametrize("size", [(80, 24), (160, 50), (40, 10), (30, 8), (20, 5), (5, 3)])
def test_the_target_starts_once_however_small_the_terminal_is(size: tuple[int, int]) -> None:
    """It never did where its pane had no row."""
    recorder = ToldRecorder()
    app, main = live_on(recorder)

    async def script(pilot: Session) -> None:
        await pilot.pause(0.2)
        assert recorder.started is not None
        screen = main.live.output.terminal.screen
        assert recorder.started == (screen.columns, screen.lines)
        assert recorder.size is None

    drive(app, script, size)


def test_a_service_that_failed_says_so_while_the_others_run_and_when_they_were_stopped() -> None:
    """It is easily overlooked, and what it needs was not seen."""
    web = seen(BIND, name="web")
    recorder = ToldRecorder(state=(web, seen(name="job", ended=True, exit_status=127)))
    app, view = live_on(recorder)

    async def script(pilot: Session) -> None:
        await look(pilot, view)
        assert "✗ exited with 127" in screen_text(app)
        recorder.end = (_stopped(NGINX, "web", 143, None), _stopped(report(), "job", 127, False))
        await look(pilot, view)
        assert "■ you stopped it after" in state_line(app)
        await press(pilot, "n")
        assert "✗ exited with 127 · you stopped it after" in state_line(app)
        said = shows(app, "#status")
        assert "No need was seen, which shows little" in said
        assert "Drop all" not in said

    drive(app, script)


def _stopped(known: Report, name: str, status: int, succeeded: bool | None) -> Over:
    ran = replace(known.recording, exit_status=status, interrupted=True, succeeded=succeeded)
    return Over(replace(known, target=replace(known.target, name=name), recordings=(ran,)), PATH)


def test_what_is_read_when_the_screen_is_gone_is_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """On a busy machine, much may be left when the user quits."""

    class Ended:
        def output(self) -> bytes:
            return b"".join(b"line %d\r\n" % number for number in range(2000))

    _print_output(Output(), Ended())  # type: ignore[arg-type]
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1000:] == [f"line {number}" for number in range(1000, 2000)]
