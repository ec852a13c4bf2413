"""Processes that a test starts, or that capadvise could leave behind."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from itertools import count
from pathlib import Path

from capadvise.kernel import procfs
from capadvise.observe.ftrace import tracefs
from tests.support.trace_buffers import all_instances

_numbers = count()


def running(marker: str) -> list[int]:
    """Processes whose command line holds the marker; words are separated by NUL."""
    pids = []
    for pid in procfs.processes():
        with suppress(OSError):
            if marker.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                pids.append(pid)
    return pids


class Marked:
    """Processes of a target, recognised by their argument: a time to sleep that nobody else has."""

    def __init__(self) -> None:
        self.word = f"{7000 + os.getpid() % 1000}.{next(_numbers):03}{time.time_ns() % 1000:03}"

    def processes(self, *, ours: bool = False) -> list[int]:
        """Those of the target; with ``ours`` also what only names it: capadvise and clients."""
        pids = running(self.word)
        return pids if ours else [pid for pid in pids if self._sleeps(pid)]

    def _sleeps(self, pid: int) -> bool:
        words = procfs.arguments(pid)
        return len(words) == 2 and words[0].endswith("sleep")

    def end(self) -> None:
        """Kill what a failed test has left."""
        for pid in self.processes(ours=True):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def leftovers() -> set[str]:
    """Trace instances whose supervisor is gone; the tests' own neighbours may have live ones."""
    with all_instances() as folder:
        return {path.name for path in procfs.abandoned(folder, tracefs.PREFIX)}
