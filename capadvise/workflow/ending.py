"""Signals that end a recording on a cluster: its reports are kept, and our pods are removed."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from capadvise.kernel.hangup import let_go_of_terminal


class Ending:
    """True once Ctrl-C, SIGTERM or the loss of the terminal has asked for the end."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def wait(self, seconds: float) -> bool:
        """Wait at most so many seconds; True if the end was asked for."""
        return self._event.wait(seconds)

    @property
    def is_set(self) -> bool:
        """True if the end was asked for."""
        return self._event.is_set()

    @contextmanager
    def on_signals(self) -> Iterator[Ending]:
        """Let signals ask for the end, instead of raising KeyboardInterrupt."""

        def note(number: int, _frame: FrameType | None) -> None:
            if number == signal.SIGHUP:
                let_go_of_terminal()
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
