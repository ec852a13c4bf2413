"""The live screen on state: a recorder that does as it is told stands in for the kernel."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import OptionList

from capadvise.caps import Cap
from capadvise.errors import CannotStart
from capadvise.recording import Check, Lost, Tally
from capadvise.tui.app import CapadviseApp
from capadvise.tui.asked import Rows, short_count
from capadvise.tui.live import LiveView
from capadvise.tui.palette import LIVE_COMMANDS
from capadvise.tui.protocols import Now, Over
from capadvise.tui.review import ReviewView
from tests.support.screens import (
    BIND,
    BRK,
    CATALOG,
    CHOWN,
    HOSTILE,
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
    state: Now = field(default_factory=lambda: Now(1.0))
    written: bytes = b""
    end: Over | None = None
    error: CannotStart | None = None
    started: tuple[int, int] | None = None
    size: tuple[int, int] | None = None
    stops: int = 0
    typed: bytes = b""
    seen: list[str] = field(default_factory=list)

    def start(self, columns: int, rows: int) -> None:
        self.started = columns, rows

    def now(self) -> Now:
        return self.state

    def output(self) -> bytes:
        data, self.written = self.written, b""
        return data

    def over(self) -> Over | None:
        if self.error:
            raise self.error
        return self.end

    def stop(self) -> None:
        self.stops += 1

    def type(self, data: bytes) -> None:
        self.typed += data

    def resize(self, columns: int, rows: int) -> None:
        self.size = columns, rows

    def wants_screen(self) -> bool:
        return False

    def lend(self) -> None:
        raise AssertionError("nobody asked for the screen")


def seen(*checks: Check, seconds: float = 1.0, **more: Any) -> Now:
    """What a recording of these looks like."""
    known = report(*checks)
    tallies = tuple(Tally(item.count, item) for item in checks)
    return Now(seconds, tallies, known.proposal, **more)


def live_on(recorder: Recorder, *, at_once: bool = False) -> tuple[CapadviseApp, LiveView]:
    """The live screen on a recorder, with the review behind it."""

    def review(over: Over) -> ReviewView:
        return ReviewView(
            over.report, CATALOG, over.path, prover=Prover(), prove=at_once, live=True
        )

    view = LiveView(recorder, CATALOG, review, at_once=at_once)
    return CapadviseApp(lambda: view), view


def rows(view: LiveView) -> list[str]:
    return [" ".join(str(option.prompt).split()) for option in view.asked.options]


OVER = Over(NGINX, PATH)


async def look(pilot: Session, view: LiveView) -> None:
    """One look of the screen at its recorder."""
    view.look()
    await pilot.pause()


def test_capabilities_appear_with_verdict_count_and_last_call_as_they_are_asked_for() -> None:
    recorder = Recorder()
    app, view = live_on(recorder)

    async def script(pilot: Session) -> None:
        assert recorder.started == (75, 46)
        recorder.state = Now(1.0, (Tally(2, BIND),))
        await look(pilot, view)
        assert rows(view) == [
            "Just asked 1",
            "? NET_BIND_SERVICE 2× 4/s nginx[812] bind, tcp [::]:80",
        ]
        assert "reverse" in view.asked.get_option_at_index(1).prompt.markup  # it lights up
        recorder.state = seen(BIND, replace(CHOWN, granted=False, result=-1), BRK, seconds=3.0)
        await look(pilot, view)
        assert rows(view) == [
            "Needed so far 1",
            "● NET_BIND_SERVICE 1× nginx[812] bind, tcp [::]:80",
            "Refused 1",
            "× CHOWN 5× 2/s nginx[812] chown, uid 33, refused",
            "▸ Asked in passing 1 SYS_ADMIN",
        ]
        assert "reverse" not in view.asked.get_option_at_index(1).prompt.markup
        assert shows(app, "#asked-why").startswith("NET_BIND_SERVICE: binding an IPv")
        await press(pilot, "u")
        assert rows(view)[-1] == "○ SYS_ADMIN 84× 42/s nginx[812] brk"

    drive(app, script)


@pytest.mark.parametrize("size", [(80, 24), (160, 50)])
def test_the_screen_as_text(size: tuple[int, int]) -> None:
    """`CAPADVISE_GOLDEN=1 pytest` writes it anew."""
    recorder = Recorder(written=b"starting\r\n127.0.0.1 GET / 200\r\n")
    app, view = live_on(recorder)
    golden = GOLDEN / f"live-{size[0]}x{size[1]}.txt"

    async def script(pilot: Session) -> None:
        recorder.state = seen(BIND, CHOWN, SETUID, BRK, seconds=1.0)
        await look(pilot, view)
        recorder.state = seen(replace(BIND, count=20), CHOWN, SETUID, BRK, seconds=3.0)
        await look(pilot, view)
        if os.environ.get("CAPADVISE_GOLDEN"):
            golden.write_text(screen_text(app))
        assert screen_text(app) == golden.read_text()

    drive(app, script, size)


def test_the_rate_is_that_of_the_last_seconds() -> None:
    rates = Rows()
    last = [
        rates.at(Now(float(second), (Tally(count, BIND),)))[0].rate
        for second, count in ((1, 10), (2, 20), (3, 40), (4, 40), (9, 40))
    ]
    assert last == [0, 10, 15, 10, 0]
    assert [short_count(number) for number in (7, 9999, 12345, 4.1e6, 2e9)] == [
        *("7", "9999", "12.3k", "4.1M", "2.0G")
    ]


def test_the_top_line_says_what_goes_on_and_what_was_lost() -> None:
    recorder = Recorder()
    app, view = live_on(recorder)

    async def script(pilot: Session) -> None:
        recorder.state = seen(BIND, seconds=75, lost=Lost(3, 4))
        await look(pilot, view)
        assert shows(app, "#state") == "● recording 1:15"
        assert shows(app, "#run") == "7 events lost  1 checks  tracepoint"
        recorder.state = seen(BIND, seconds=80, stopping=8.2)
        await look(pilot, view)
        assert shows(app, "#state") == "■ stopping, killed in 8 s"
        recorder.end = OVER
        await look(pilot, view)
        assert shows(app, "#state") == "■ ended with 0 after 1:20"

    drive(app, script)


def test_pausing_stops_the_display_and_nothing_else() -> None:
    recorder = Recorder()
    app, view = live_on(recorder)

    async def script(pilot: Session) -> None:
        await press(pilot, "p")
        recorder.state, recorder.written = seen(BIND, seconds=5), b"line\r\n"
        await look(pilot, view)
        assert rows(view) == []
        assert shows(app, "#state") == "● recording 5.0 s  display paused"
        await press(pilot, "p")
        assert len(rows(view)) == 2
        assert list(view.output.lines.finished) == ["line"]
        await press(pilot, "p")
        recorder.end = OVER
        await look(pilot, view)
        assert not view.paused  # the end is shown in any case

    drive(app, script)


def test_the_keyboard_is_the_targets_until_it_is_taken_back() -> None:
    recorder = Recorder(written=b"Password: ")
    app, view = live_on(recorder)

    async def script(pilot: Session) -> None:
        await press(pilot, "i", *"q1?", "space", "enter", "ctrl+c", "ctrl+q", "ctrl+p", "escape")
        assert recorder.typed == b"q1? \r\x03\x11\x10\x1b"
        assert recorder.stops == 0
        await press(pilot, "ctrl+right_square_bracket", "p")
        assert view.paused
        await press(pilot, "p", "i", "tab")
        assert recorder.typed.endswith(b"\t")
        await pilot.click("#asked")
        assert not view.output.typing  # a click elsewhere takes it back, too

    drive(app, script)


def test_q_stops_the_target_and_then_leaves() -> None:
    recorder = Recorder()
    app, view = live_on(recorder)

    async def script(pilot: Session) -> None:
        assert [view.check_action(name, ()) for name in ("stop", "type", "review")] == [
            *(True, True, False)
        ]
        await press(pilot, "q", "ctrl+c")
        assert recorder.stops == 2
        assert app.is_running
        recorder.end = OVER
        await look(pilot, view)
        assert [view.check_action(name, ()) for name in ("stop", "type", "review")] == [
            *(False, False, True)
        ]
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


def test_the_review_follows_on_r_and_the_output_stays_below_it() -> None:
    recorder = Recorder()
    app, view = live_on(recorder)

    async def script(pilot: Session) -> None:
        await press(pilot, "r")
        assert app.view is view
        recorder.end = OVER
        await look(pilot, view)
        await press(pilot, "r")
        assert isinstance(app.view, ReviewView)
        assert app.view.report is NGINX
        await press(pilot, "space", "0")
        assert app.view is view
        await press(pilot, "r")
        assert len(app.view.choice.caps) == 2
        await pilot.click("#place-live")
        await pilot.pause()
        assert app.view is view

    drive(app, script)


def test_with_prove_the_trials_begin_by_themselves() -> None:
    recorder = Recorder()
    app, view = live_on(recorder, at_once=True)

    async def script(pilot: Session) -> None:
        recorder.end = OVER
        await look(pilot, view)
        await press(pilot)
        assert isinstance(app.view, ReviewView)
        assert app.view.report.proven is not None

    drive(app, script)


def test_a_target_that_cannot_be_started_ends_it() -> None:
    recorder = Recorder()
    app, view = live_on(recorder)

    async def script(pilot: Session) -> None:
        recorder.error = CannotStart("cannot execute it", found=True)
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
        assert recorder.size[0] == 75

    drive(app, script)


def test_rows_are_found_by_the_mouse_and_every_action_is_in_the_palette() -> None:
    recorder = Recorder()
    app, view = live_on(recorder)

    async def script(pilot: Session) -> None:
        recorder.state = seen(BIND, SETUID, BRK)
        await look(pilot, view)
        await pilot.click("#asked", offset=(6, 2))
        assert view.asked.selected == Cap.parse("SETUID")
        await pilot.click("#asked", offset=(6, 3))
        assert app.query_one("#asked", OptionList).option_count == 5
        titles = {command.title for command in app.get_system_commands(app.screen)}
        assert {name for name, _, _ in LIVE_COMMANDS} - titles == {"go: review"}
        own = {"interrupt"}
        assert {b.action for b in view.BINDINGS} - own == {verb for _, verb, _ in LIVE_COMMANDS}

    drive(app, script)
