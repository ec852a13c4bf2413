"""Following what is about to enter a container, where nobody who is followed starts it.

podman starts a new conmon for each ``exec``, and so does CRI-O; the runtime that it forks takes
some ten milliseconds until it executes the program. So every start of a conmon and every fork of
one wakes a thread, which has the trace follow it at once; what it forks from then on, the kernel
follows. That is a race, and it is lost where others are setting up traces at that very moment:
what was begun is counted, so that it can be said.
"""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable, Sequence
from itertools import pairwise

from capadvise.linux.ftrace.instances import Buffers
from capadvise.linux.kernel import procfs
from capadvise.linux.kernel.process_tree import descendants


class Arrivals:
    """The thread. Does nothing where the buffers do not tell of arrivals."""

    def __init__(self, buffers: Buffers, is_ours: Callable[[int], bool]) -> None:
        """``is_ours``: whether a process is about to enter the container."""
        self._buffers, self._is_ours = buffers, is_ours
        self.begun: set[str] = set()
        """The sessions, by conmon's name for each."""
        self._stop, self._stopped = os.pipe()
        self._thread = threading.Thread(target=self._run, daemon=True, name="arrivals")
        if buffers.arriving is not None:
            self._thread.start()

    def _run(self) -> None:
        assert self._buffers.arriving is not None
        fds = self._buffers.arriving.wake_at_once()
        while True:
            ready, _, _ = select.select([*fds, self._stop], [], [])
            if self._stop in ready:
                return
            for pid in self._buffers.arrived():
                if self._is_ours(pid):
                    self.begun.add(_session(procfs.arguments(pid)))
                    self._buffers.follow([pid, *descendants(pid)])

    def stop(self) -> None:
        """End the thread; the buffers can be closed then."""
        os.close(self._stopped)
        if self._thread.is_alive():
            self._thread.join()
        os.close(self._stop)


def _session(arguments: Sequence[str]) -> str:
    return next((after for word, after in pairwise(arguments) if word in ("-u", "--cuuid")), "")
