"""When a container without a health check of its own has started: what listens and what runs in it
does not change any more."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable

from capadvise.linux.kernel.background import Background
from capadvise.linux.supervise import implicit_check
from capadvise.workload import IMPLICIT_CHECK

STEADY = 3.0
"""Seconds without a change; as long again as it took to get there, up to ``_LONGEST``."""
_LONGEST = 10.0
_EVERY = 0.25


class Settling:
    """One container."""

    def __init__(self) -> None:
        self._began = self._changed = self._next = 0.0
        self._seen: tuple[frozenset[str], frozenset[str]] = (frozenset(), frozenset())
        self._proposal: Background[str | None] | None = None

    def look(self, root: int, pids: Callable[[], list[int]]) -> None:
        """``root``: its first process."""
        now = time.monotonic()
        if now < self._next or self._proposal is not None:
            return
        self._next, self._began = now + _EVERY, self._began or now
        there = pids()
        seen = implicit_check.listening(root, there), implicit_check.programs(there)
        if seen != self._seen:
            self._seen, self._changed = seen, now
        steady = max(STEADY, min(_LONGEST, self._changed - self._began))
        if there and now - self._changed > steady:
            self._proposal = Background(lambda: _proposed(root, there))

    @property
    def settled(self) -> bool:
        """It has started, and it is known how to tell."""
        return self._proposal is not None and self._proposal.ended

    @property
    def check(self) -> str | None:
        """The health check that it passes."""
        return self._proposal.result() if self._proposal and self._proposal.ended else None


def _proposed(root: int, pids: list[int]) -> str | None:
    """Told by another process: to enter its network takes more than we keep."""
    environment = {**os.environ, "PID": str(root), "PIDS": ",".join(map(str, pids))}
    words = [sys.executable, "-P", "-m", implicit_check.__name__, "--propose"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    arguments = done.stdout.split()
    if done.returncode or not arguments:
        return None
    return f"${IMPLICIT_CHECK} {shlex.join(arguments)}"
