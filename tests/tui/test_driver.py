"""The terminal under the screens."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest
from textual.drivers.linux_driver import LinuxDriver

from capadvise.tui.driver import TerminalDriver


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
