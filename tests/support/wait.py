"""Waiting for what other processes do."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
PATIENCE = 60.0
"""Seconds for what takes a moment on a machine that is not busy."""


def until(
    condition: Callable[[], T],
    seconds: float = PATIENCE,
    *,
    shows: Callable[[], object] | None = None,
) -> T:
    """Wait until the condition holds, and return what it gave. Fail if it does not in time;
    ``shows`` is what the failure then prints."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s in vain: {shows() if shows else value!r}")
        time.sleep(0.02)
    return value
