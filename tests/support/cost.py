"""What code costs, said without a clock on the wall: a busy machine must fail no test."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def at_most(calls: int) -> Iterator[None]:
    """Fail as soon as the block has called more functions than this."""
    left = calls

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal left
        left -= event in ("call", "c_call")
        if left < 0:
            sys.setprofile(None)
            raise AssertionError(f"more than {calls} calls")

    sys.setprofile(count)
    try:
        yield
    finally:
        sys.setprofile(None)


def is_linear(work: Callable[[int], object], size: int) -> bool:
    """Whether work of four times the size takes about four times as much of the processor; if it
    were quadratic, that would be sixteen times."""
    return any(_seconds(work, 4 * size) < 8 * _seconds(work, size) for _ in range(4))


def _seconds(work: Callable[[int], object], size: int) -> float:
    start = time.process_time()
    work(size)
    return max(time.process_time() - start, 1e-6)


def loaded(script: str) -> set[str]:
    """The modules that a Python program has loaded at its end; what it prints is dropped."""
    script += "\nimport sys; print('', *sys.modules, sep='\\n', file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())
