"""The live screen on state: a recorder that does as it is told stands in for the kernel."""

from __future__ import annotations

from dataclasses import replace

import pytest
from textual.widgets import OptionList

from capadvise.model.health import Health
from capadvise.model.recording import Lost, Tally
from capadvise.report.lamps import Lamp, Light
from capadvise.tui.capabilities import CapabilityLine
from capadvise.tui.rows import LiveRows, short_count
from capadvise.workflow.protocols import Now, Over
from tests.support.golden import assert_golden
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
    HOSTILE,
    HOSTNAME,
    NGINX,
    PATH,
    SETUID,
    drive,
    press,
    report,
    screen_text,
    shows,
)
from tests.tui.goldens import GOLDEN


def test_capabilities_appear_with_count_and_the_call_that_decides() -> None:
    recorder = ToldRecorder()
    app, view = live_on(recorder)

    async def script(pilot: Session) -> None:
        assert recorder.started == (77, 43)
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
    recorder = ToldRecorder()
    app, view = live_on(recorder)

    async def script(pilot: Session) -> None:
        known = report(HOSTNAME, BRK)
        recorder.state = Now(1.0, (Tally(85, BRK),), known.proposal)
        await look(pilot, view)
        (title, row) = rows(view)
        assert title == "Needed 1"
        assert row.startswith("◆ SYS_ADMIN root-equivalent 1×")
        assert row.endswith("nginx[812] sethostname")

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
    recorder = ToldRecorder(written=b"starting\r\n127.0.0.1 GET / 200\r\n")
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
    recorder = ToldRecorder(written=written)
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
    recorder = ToldRecorder()
    app, view = live_on(recorder)

    async def script(pilot: Session) -> None:
        recorder.state = Now(0.2, (Tally(2, BIND),))
        await look(pilot, view)
        assert rows(view)[0] == "Just checked 1"
        recorder.end = Over(report(BIND), PATH)
        await look(pilot, view)
        await press(pilot, "1")
        assert rows(view)[0] == "Needed 1"

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


def test_the_board_says_what_goes_on_and_what_was_dropped() -> None:
    recorder = ToldRecorder()
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


def test_the_health_check_is_seen_while_it_fails_and_when_it_passes() -> None:
    recorder = ToldRecorder(check="curl -f localhost")
    app, view = live_on(recorder)

    async def script(pilot: Session) -> None:
        await look(pilot, view)
        assert "health check pending" in state_line(app)
        recorder.state = seen(BIND, seconds=9, health=Health(False, "exit 7: refused\n", since=3))
        await look(pilot, view)
        assert "health check: failing for 6 s, exit 7: refused" in state_line(app)
        recorder.end = Over(NGINX, PATH, True)
        await look(pilot, view)
        assert "health check passed after 0.1 s, so it was stopped" in state_line(app)

    drive(app, script)


def test_each_service_has_a_row_with_its_lamps_and_enter_goes_into_it() -> None:
    recorder = ToldRecorder(has_terminal=False)
    app, view = live_on(recorder)

    async def script(pilot: Session) -> None:
        web = seen(BIND, name="web", health=Health(True))
        recorder.state = (web, seen(CHOWN, SETUID, name="db"))
        await look(pilot, view)
        targets = app.query_one("#targets", OptionList)
        first, second = (str(option.prompt) for option in targets.options)
        assert first.split()[:2] == ["●", "web"]
        assert "·" * 10 + "●" + "·" * 30 in first
        assert first.rstrip().endswith("1 needed  ✓ healthy")
        assert "2 needed" in second
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


@pytest.mark.parametrize("size", [(80, 24), (160, 50)])
def test_hostile_names_and_output_are_shown_harmlessly(size: tuple[int, int]) -> None:
    recorder = ToldRecorder(argv=(HOSTILE,), written=HOSTILE.encode("utf-8", "surrogateescape"))
    app, view = live_on(recorder)

    async def script(pilot: Session) -> None:
        recorder.state = seen(replace(CHOWN, program=HOSTILE, detail=HOSTILE), BIND)
        await look(pilot, view)
        text = screen_text(app)
        assert "[bold red]x[/]" in text
        assert not [char for char in text if ord(char) < 32 and char != "\n"]
        assert not {"\u202e", "\udcff"} & set(text)

    drive(app, script, size)


def test_rows_and_lamps_are_found_by_the_mouse() -> None:
    recorder = ToldRecorder()
    app, view = live_on(recorder)

    async def script(pilot: Session) -> None:
        recorder.state = seen(BIND, SETUID, BRK)
        await look(pilot, view)
        await pilot.click("#live-caps", offset=(6, 2))
        assert view.live.caps.selected == BIND.cap
        await pilot.click("#live-caps", offset=(6, 3))
        assert len(rows(view)) == 5
        await pilot.click("#board", offset=(15, 0))
        await pilot.pause()
        assert view.live.caps.selected == SETUID.cap

    drive(app, script)
