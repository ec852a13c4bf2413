"""Signals as a wish to end: what there is by then is kept, and what was made is removed."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from capadvise.kernel.own_streams import replace_dead_streams


class Ending:
    """Set by Ctrl-C, SIGTERM or the end of the terminal: what was recorded is kept."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def wait(self, seconds: float) -> bool:
        """Whether it was set, after so many seconds at the latest."""
        return self._event.wait(seconds)

    @property
    def is_set(self) -> bool:
        """Whether it was set."""
        return self._event.is_set()

    @contextmanager
    def heard(self) -> Iterator[Ending]:
        """Signals set it."""

        def note(number: int, _frame: FrameType | None) -> None:
            if number == signal.SIGHUP:
                replace_dead_streams()
            self._event.set()

        numbers = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup has it ignored
            numbers.append(signal.SIGHUP)
        before = {number: signal.signal(number, note) for number in numbers}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
