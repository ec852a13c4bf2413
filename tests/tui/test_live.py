"""The live screen on state: a recorder that does as it is told stands in for the kernel."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import OptionList

from capadvise.errors import CannotStart
from capadvise.recording import Check, Lost, Tally
from capadvise.report.lamps import Lamp, Light
from capadvise.report.model import Report
from capadvise.tui.app import CapadviseApp
from capadvise.tui.capabilities import CapabilityLine
from capadvise.tui.main import Main
from capadvise.tui.output import Output
from capadvise.tui.protocols import Health, Now, Over
from capadvise.tui.rows import LiveRows, short_count
from capadvise.workflow.live import _print_output
from tests.support.golden import assert_golden
from tests.support.screens import (
    BIND,
    BRK,
    CATALOG,
    CHOWN,
    HOSTILE,
    HOSTNAME,
    NGINX,
    PATH,
    SETUID,
    Prover,
    drive,
    press,
    report,
    screen_text,
    shows,
)
from tests.tui.goldens import GOLDEN

Session = Pilot[Any]


@dataclass
class Recorder:
    """What a recorder says, set by the tests; what it was told, for them to look at."""

    argv: tuple[str, ...] = ("nginx", "-g", "daemon off;")
    observer: str = "tracepoint"
    check: str | None = None
    has_terminal: bool = True
    state: Now | tuple[Now, ...] = field(default_factory=lambda: Now(1.0))
    waits: bool = False
    written: bytes = b""
    end: Over | tuple[Over, ...] | None = None
    error: CannotStart | None = None
    started: tuple[int, int] | None = None
    size: tuple[int, int] | None = None
    stops: int = 0
    typed: bytes = b""
    seen: list[str] = field(default_factory=list)

    def start(self, columns: int, rows: int) -> None:
        self.started = columns, rows

    def now(self) -> tuple[Now, ...]:
        return self.state if isinstance(self.state, tuple) else (self.state,)

    def output(self) -> bytes:
        data, self.written = self.written, b""
        return data

    def wants_keys(self) -> bool:
        return self.waits

    def over(self) -> tuple[Over, ...] | None:
        if self.error:
            raise self.error
        return (self.end,) if isinstance(self.end, Over) else self.end

    def stop(self) -> None:
        self.stops += 1

    def type(self, data: bytes) -> None:
        self.typed += data

    def resize(self, columns: int, rows: int) -> None:
        self.size = columns, rows


def seen(*checks: Check, seconds: float = 1.0, **more: Any) -> Now:
    """What a recording of these looks like."""
    known = report(*checks)
    tallies = tuple(Tally(item.count, item) for item in checks)
    return Now(seconds, tallies, known.proposal, **more)


def live_on(recorder: Recorder, *, at_once: bool = False) -> tuple[CapadviseApp, Main]:
    """The screen on a recorder."""
    main = Main(CATALOG, source=recorder, prover=lambda _: Prover(), prove=at_once)
    return CapadviseApp(lambda: main), main


def rows(main: Main) -> list[str]:
    return [" ".join(str(option.prompt).split()) for option in main.live.caps.options]


OVER = Over(NGINX, PATH)


async def look(pilot: Session, view: Main) -> None:
    """One look of the screen at its recorder."""
    view.look()
    await pilot.pause()


def test_capabilities_appear_with_count_and_the_call_that_decides() -> None:
    recorder = Recorder()
    app, view = live_on(recorder)

    async def script(pilot: Session) -> None:
        assert recorder.started == (77, 38)
        recorder.state = Now(1.0, (Tally(2, BIND),))
        await look(pilot, view)
        assert rows(view) == [
            "Just checked 1",
            "? NET_BIND_SERVICE low 2× nginx[812] bind, tcp [::]:80",
        ]
        assert "reverse" in view.live.caps.options[1].prompt.at(80).markup  # it lights up
        recorder.state = seen(BIND, replace(CHOWN, granted=False, result=-1), BRK, seconds=3.0)
        await look(pilot, view)
        assert rows(view) == [
            "Needed 1",
            "● NET_BIND_SERVICE low 1× nginx[812] bind, tcp [::]:80",
            "Denied, no effect 1",
            "× CHOWN medium 5× nginx[812] chown, uid 33, refu…",
            "▸ Incidental 1 SYS_ADMIN",
        ]
        assert "reverse" not in view.live.caps.options[1].prompt.at(80).markup
        assert shows(app, "#live-why").startswith("NET_BIND_SERVICE: binding an IPv")
        await press(pilot, "u")
        assert rows(view)[-1] == "○ SYS_ADMIN root-equivalent 84× nginx[812] brk"

    drive(app, script)


def test_of_one_capability_the_deciding_call_is_shown_and_incidental_checks_are_apart() -> None:
    """mount decides; that brk was checked last, and 84 times, does not."""
    recorder = Recorder()
    app, view = live_on(recorder)

    async def script(pilot: Session) -> None:
        known = report(HOSTNAME, BRK)
        recorder.state = Now(1.0, (Tally(85, BRK),), known.proposal)
        await look(pilot, view)
        (title, row) = rows(view)
        assert title == "Needed 1"
        assert row.startswith("◆ SYS_ADMIN root-equivalent 1×")
        assert row.endswith("nginx[812] sethostname")
        assert "needed: nginx[812] sethostname" in shows(app, "#events")

    drive(app, script)


def test_a_long_call_is_cut_in_its_details() -> None:
    now = Now(1.0, (Tally(85, BRK),), report(HOSTNAME, BRK).proposal)
    (row,) = LiveRows().at(now, [Lamp(BRK.cap, Light.NEEDED)], {})
    long = replace(row, call="mount[812] fsopen, file system tmpfs, and more of the kind")
    ends = {
        50: " mount fsopen…",
        56: " mount[812] fsopen,…",
        66: " mount[812] fsopen, f…",
        75: " mount fsopen,…  +84 incidental",
        90: " mount[812] fsopen, …  +84 incidental",
    }
    for width, end in ends.items():
        assert CapabilityLine(long).lines(width)[0].plain.endswith(end)


def test_what_was_checked_since_the_last_judgement_is_not_incidental() -> None:
    judged = report(replace(CHOWN, count=5)).proposal
    now = Now(9.0, (Tally(370_000, CHOWN),), judged)
    (row,) = LiveRows().at(now, [Lamp(CHOWN.cap, Light.NEEDED)], {})
    assert (row.checks, row.incidental) == (370_000, 0)


@pytest.mark.parametrize("size", [(80, 24), (160, 50)])
def test_the_screen_as_text(size: tuple[int, int]) -> None:
    recorder = Recorder(written=b"starting\r\n127.0.0.1 GET / 200\r\n")
    app, view = live_on(recorder)

    async def script(pilot: Session) -> None:
        recorder.state = seen(BIND, CHOWN, SETUID, BRK, seconds=1.0)
        await look(pilot, view)
        recorder.state = seen(replace(BIND, count=20), CHOWN, SETUID, BRK, seconds=3.0)
        await look(pilot, view)
        assert_golden(f"live-{size[0]}x{size[1]}.txt", screen_text(app), GOLDEN)

    drive(app, script, size)


@pytest.mark.parametrize("written", [b"", b"line\r\n" * 50], ids=["quiet", "chatty"])
@pytest.mark.parametrize("size", [(80, 24), (100, 30)])
def test_every_row_of_the_list_is_in_sight_and_the_target_keeps_the_size_of_its_terminal(
    size: tuple[int, int], written: bytes
) -> None:
    recorder = Recorder(written=written)
    app, view = live_on(recorder)

    async def script(pilot: Session) -> None:
        await look(pilot, view)
        recorder.state = seen(BIND, CHOWN, SETUID, BRK)
        await look(pilot, view)
        caps, output = view.live.caps, view.live.output
        assert caps.option_count == 5
        assert caps.max_scroll_y == 0
        assert output.scrollable_content_region.height >= (4 if written else 1)
        assert output.is_vertical_scroll_end
        await press(pilot, "i")
        assert output.scrollable_content_region.height == output.terminal.screen.lines
        assert caps.max_scroll_y == 0
        assert recorder.size is None  # no SIGWINCH

    drive(app, script, size)


def test_what_was_just_checked_at_the_end_is_judged_by_the_report() -> None:
    recorder = Recorder()
    app, view = live_on(recorder)

    async def script(pilot: Session) -> None:
        recorder.state = Now(0.2, (Tally(2, BIND),))
        await look(pilot, view)
        assert rows(view)[0] == "Just checked 1"
        recorder.end = Over(report(BIND), PATH)
        await look(pilot, view)
        await press(pilot, "1")
        assert rows(view)[0] == "Needed 1"
        assert "NET_BIND_SERVICE needed: nginx[812] bind" in shows(app, "#events")

    drive(app, script)


def test_the_rate_is_that_of_the_last_seconds() -> None:
    rates = LiveRows()
    lamp = Lamp(BIND.cap, Light.NEEDED)
    last = [
        rates.at(Now(float(second), (Tally(count, BIND),)), [lamp], {})[0].rate
        for second, count in ((1, 10), (2, 20), (3, 40), (4, 40), (9, 40))
    ]
    assert last == [0, 10, 15, 10, 0]
    assert [short_count(number) for number in (7, 9999, 12345, 4.1e6, 2e9)] == [
        *("7", "9999", "12.3k", "4.1M", "2.0G")
    ]


def state_line(app: CapadviseApp) -> str:
    """What the board says of what goes on, up to the signs of the lamps."""
    line = shows(app, "#board").splitlines()[-1].strip()
    return line.partition("   ")[0]


def test_the_board_says_what_goes_on_and_what_was_dropped() -> None:
    recorder = Recorder()
    app, view = live_on(recorder)

    async def script(pilot: Session) -> None:
        recorder.state = seen(BIND, seconds=75, lost=Lost(3, 4))
        await look(pilot, view)
        assert state_line(app) == (
            "● recording 1:15 · 7 events dropped · 1 capability check · tracepoint"
        )
        recorder.state = seen(BIND, seconds=80, stopping=8.2)
        await look(pilot, view)
        assert state_line(app).startswith("■ stopping, killed in 8 s")
        failed = replace(NGINX, recordings=(replace(NGINX.recording, exit_status=139),))
        recorder.end = Over(failed, PATH)
        await look(pilot, view)
        assert state_line(app) == "✗ crashed (SIGSEGV) after 0.1 s · Enter: review"

    drive(app, script)


def test_how_to_go_on_has_room_on_a_small_screen() -> None:
    failed = replace(NGINX, recordings=(replace(NGINX.recording, exit_status=139),))
    recorder = Recorder(end=Over(failed, PATH))
    app, view = live_on(recorder)

    async def script(pilot: Session) -> None:
        await look(pilot, view)
        assert view.place == "live"
        assert "after 0.1 s · Enter: review\n" in screen_text(app)

    drive(app, script, (80, 24))


def test_the_health_check_is_seen_while_it_fails_and_when_it_passes() -> None:
    recorder = Recorder(check="curl -f localhost")
    app, view = live_on(recorder)

    async def script(pilot: Session) -> None:
        await look(pilot, view)
        assert "health check pending" in state_line(app)
        recorder.state = seen(BIND, seconds=9, health=Health(False, 6, "exit 7: refused\n"))
        await look(pilot, view)
        assert "health check: failing for 6 s, exit 7: refused" in state_line(app)
        assert "health check failing" in shows(app, "#events")
        recorder.end = Over(NGINX, PATH, True)
        await look(pilot, view)
        assert "health check passed after 0.1 s, so it was stopped" in state_line(app)

    drive(app, script)


def test_each_service_has_a_row_with_its_lamps_and_enter_goes_into_it() -> None:
    recorder = Recorder(has_terminal=False)
    app, view = live_on(recorder)

    async def script(pilot: Session) -> None:
        web = seen(BIND, name="web", health=Health(True, 3))
        recorder.state = (web, seen(CHOWN, SETUID, name="db"))
        await look(pilot, view)
        targets = app.query_one("#targets", OptionList)
        first, second = (str(option.prompt) for option in targets.options)
        assert first.split()[:2] == ["●", "web"]
        assert "·" * 10 + "●" + "·" * 30 in first
        assert first.rstrip().endswith("41 → 1  ✓ healthy")
        assert "41 → 2" in second
        targets.focus()
        await press(pilot, "down")
        assert "of db" in str(app.query_one("#caps-pane").border_title)
        assert rows(view)[0] == "Needed 2"
        await press(pilot, "enter")
        assert app.focused is view.live.caps
        recorder.end = (OVER, Over(report(CHOWN, name="db"), PATH))
        await look(pilot, view)
        assert view.place == "review"
        assert len(view.review.caps.options) > 1
        await press(pilot, "n", "2")
        assert view.state.name == "nginx"

    drive(app, script)


def test_what_happened_can_be_gone_through_when_it_has_ended() -> None:
    recorder = Recorder()
    app, view = live_on(recorder)

    async def script(pilot: Session) -> None:
        recorder.state = seen(BIND, seconds=1.0)
        await look(pilot, view)
        recorder.state = seen(BIND, CHOWN, seconds=2.0)
        await look(pilot, view)
        recorder.end = OVER
        await look(pilot, view)
        await press(pilot, "1", "left")
        assert "1.0 s (1 of 2) NET_BIND_SERVICE needed" in shows(app, "#events")
        lit = [lamp.cap.short for lamp in view.state.lamps(0) if lamp.light is Light.NEEDED]
        assert lit == ["NET_BIND_SERVICE"]
        await press(pilot, "right")
        assert "CHOWN needed" in shows(app, "#events")

    drive(app, script)


def test_freezing_stops_the_display_and_nothing_else() -> None:
    recorder = Recorder()
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
    recorder = Recorder(written=b"Password: ")
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
    recorder = Recorder()
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
    recorder = Recorder()
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
    recorder = Recorder(written=b"hello")
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
    recorder = Recorder()
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


def test_the_keyboard_is_given_when_the_target_waits_and_not_twice_against_the_users_will() -> None:
    recorder = Recorder(waits=True)
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
    recorder = Recorder()
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
    recorder = Recorder()
    app, view = live_on(recorder)

    async def script(pilot: Session) -> None:
        recorder.error = CannotStart("cannot execute it", exists=True)
        await look(pilot, view)
        assert not app.is_running

    drive(app, script)


@pytest.mark.parametrize("size", [(80, 24), (160, 50)])
def test_hostile_names_and_output_are_shown_harmlessly(size: tuple[int, int]) -> None:
    recorder = Recorder(argv=(HOSTILE,), written=HOSTILE.encode("utf-8", "surrogateescape"))
    app, view = live_on(recorder)

    async def script(pilot: Session) -> None:
        recorder.state = seen(replace(CHOWN, program=HOSTILE, detail=HOSTILE), BIND)
        await look(pilot, view)
        text = screen_text(app)
        assert "[bold red]x[/]" in text
        assert not [char for char in text if ord(char) < 32 and char != "\n"]
        assert not {"\u202e", "\udcff"} & set(text)

    drive(app, script, size)


def test_the_targets_terminal_is_as_large_as_its_pane() -> None:
    recorder = Recorder()
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
    recorder = Recorder()
    app, main = live_on(recorder)

    async def script(pilot: Session) -> None:
        await pilot.pause(0.2)
        assert recorder.started is not None
        screen = main.live.output.terminal.screen
        assert recorder.started == (screen.columns, screen.lines)
        assert recorder.size is None

    drive(app, script, size)


def test_rows_and_lamps_are_found_by_the_mouse() -> None:
    recorder = Recorder()
    app, view = live_on(recorder)

    async def script(pilot: Session) -> None:
        recorder.state = seen(BIND, SETUID, BRK)
        await look(pilot, view)
        await pilot.click("#live-caps", offset=(6, 2))
        assert view.live.caps.selected == BIND.cap
        await pilot.click("#live-caps", offset=(6, 3))
        assert len(rows(view)) == 5
        await pilot.click("#board", offset=(23, 1))
        await pilot.pause()
        assert view.live.caps.selected == SETUID.cap

    drive(app, script)


def test_a_service_that_failed_says_so_while_the_others_run_and_when_they_were_stopped() -> None:
    """It is easily overlooked, and what it needs was not seen."""
    web = seen(BIND, name="web")
    recorder = Recorder(state=(web, seen(name="job", ended=True, exit_status=127)))
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
        assert "but the run failed" in said
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
