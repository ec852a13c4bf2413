"""The terminal under the screens."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import pytest
from textual.drivers.linux_driver import LinuxDriver
from textual.events import Resize
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
