"""The terminal under the screens."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from typing import Any

import pytest
from textual.drivers.linux_driver import LinuxDriver
from textual.events import Key, Resize
from textual.geometry import Size
from textual.messages import Layout
from textual.pilot import Pilot

from capadvise.tui.driver import TerminalDriver
from tests.support.screens import NGINX, app_on, drive, press


@pytest.mark.parametrize(
    ("number", "handler"),
    [(signal.SIGTSTP, "_sigtstp_application"), (signal.SIGCONT, "_sigcont_application")],
)
def test_a_stop_and_its_end_wait_for_what_is_being_done(
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals, handler: str
) -> None:
    """Drawing can hold the lock of the output, for which a handler would wait for ever."""
    handled: list[str] = []
    monkeypatch.setattr(LinuxDriver, handler, lambda *_: handled.append(handler))

    async def draw() -> list[str]:
        driver = object.__new__(TerminalDriver)
        driver._loop, driver._must_signal_resume = asyncio.get_running_loop(), True
        before = signal.signal(number, lambda *_: getattr(driver, handler)())
        os.kill(os.getpid(), number)
        signal.signal(number, before)
        drawn = list(handled)
        await asyncio.sleep(0)
        return drawn

    assert asyncio.run(draw()) == []
    assert handled == [handler]


@pytest.mark.parametrize(
    "key", ["4", "question_mark", "s", "E"], ids=["tab", "help", "save", "export"]
)
def test_of_two_sizes_that_wait_the_last_one_is_drawn(key: str) -> None:
    """As from a window that is dragged while the machine is busy."""
    app = app_on(NGINX)

    async def script(pilot: Pilot[Any]) -> None:
        await press(pilot, key)
        screen, first, last = app.screen, Size(77, 30), Size(99, 20)
        await pilot.resize_terminal(*last)
        for size in (first, last):
            screen.post_message(Resize(size, size))
            screen.post_message(Layout(screen))  # so that they are not taken for one
        sizes = []
        for _ in range(40):
            await asyncio.sleep(0.02)
            sizes.append(screen.outer_size)
        assert set(sizes[20:]) == {last}

    drive(app, script)


def test_what_is_no_utf_8_is_a_key_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pasted file of Latin-1 ended the screens, and with them the target."""
    got: list[str] = []
    ours, theirs = os.pipe()

    async def feed() -> None:
        driver = TerminalDriver(app_on(NGINX))
        driver.fileno = ours
        monkeypatch.setattr(
            driver, "process_message", lambda event: got.append(getattr(event, "character", ""))
        )
        thread = threading.Thread(target=driver.run_input_thread)
        thread.start()
        os.write(theirs, "é".encode()[:1])
        await asyncio.sleep(0.05)
        os.write(theirs, "é".encode()[1:] + b"caf\xe9 \xffau")
        await asyncio.sleep(0.2)
        driver.exit_event.set()
        thread.join(5)
        assert not thread.is_alive()

    asyncio.run(feed())
    os.close(ours)
    os.close(theirs)
    assert "".join(filter(None, got)) == "écaf\ufffd \ufffdau"


@pytest.mark.parametrize(
    "keys", [("pageup",), ("pagedown",), ("x", "enter", "enter"), ("escape",) * 2]
)
def test_keys_that_are_faster_than_the_palette(keys: tuple[str, ...]) -> None:
    app = app_on(NGINX)

    async def script(pilot: Pilot[Any]) -> None:
        for key in ("ctrl+p", *keys, *keys):
            app.post_message(Key(key, key if len(key) == 1 else None))
        await pilot.pause(0.3)
        assert app.is_running

    drive(app, script)
