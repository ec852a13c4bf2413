"""The recorder below the live screen, without one."""

from __future__ import annotations

import os
import threading
from types import SimpleNamespace
from typing import Any, cast

from capadvise.linux.supervise.live_recorder import RecorderProcess
from capadvise.recording import Lost


def test_it_never_waits_for_a_screen_that_does_not_read() -> None:
    """As one that is stopped: what is recorded meanwhile would be lost."""
    (orders, _), (_, said), (_, recordings), (judged, _) = (os.pipe() for _ in range(4))
    recorder = RecorderProcess(orders, said, recordings, judged)
    tracker = SimpleNamespace(tallies=lambda: tuple(range(5000)), distinct=0)
    watch: Any = SimpleNamespace(
        tracker=tracker,
        buffers=SimpleNamespace(lost=Lost),
        clock=0.0,
        status=None,
        kill_at=None,
        observer="tracepoint",
    )

    def rounds() -> None:
        for _ in range(50):
            recorder._next_look = 0.0
            recorder._round(cast(Any, watch))

    running = threading.Thread(target=rounds, daemon=True)
    running.start()
    running.join(20)
    assert not running.is_alive()
