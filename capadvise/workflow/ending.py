"""Signals that end a recording on a cluster: its reports are kept, and our pods are removed."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from capadvise.kernel.own_streams import replace_dead_streams


@contextmanager
def ending_on_signals() -> Iterator[threading.Event]:
    """An event that Ctrl-C, SIGTERM and the loss of the terminal set, instead of ending
    capadvise."""
    ending = threading.Event()

    def end(number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            replace_dead_streams()
        ending.set()

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup has it ignored
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield ending
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
