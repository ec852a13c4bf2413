"""Following what is about to enter a container, where nobody who is followed starts it.

podman starts a new conmon for each ``exec``, and so does CRI-O. It has a few milliseconds to live
until it forks the runtime. So every start of a conmon and every fork of one wakes a thread, which
has the trace follow it at once: what it forks from then on is followed by the kernel. The trace
has the new process from the moment that it is written down; that the write then waits for the
other processors, for some 30 ms, is why it is done apart from the reading.
"""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable
from contextlib import suppress

from capadvise.linux.buffers import Buffers
from capadvise.linux.processes import descendants


class Arrivals:
    """The thread. Does nothing where the buffers do not tell of arrivals."""

    def __init__(self, buffers: Buffers, is_ours: Callable[[int], bool]) -> None:
        """``is_ours``: whether a process is about to enter the container."""
        self._buffers, self._is_ours = buffers, is_ours
        self._stop, self._stopped = os.pipe()
        self._thread = threading.Thread(target=self._run, daemon=True, name="arrivals")
        if buffers.arriving is not None:
            self._thread.start()

    def _run(self) -> None:
        assert self._buffers.arriving is not None
        with suppress(OSError):  # it sleeps nearly always, and must not come too late
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        fds = self._buffers.arriving.wake_at_once()
        while True:
            ready, _, _ = select.select([*fds, self._stop], [], [])
            if self._stop in ready:
                return
            for pid in self._buffers.arrived():
                if self._is_ours(pid):
                    self._buffers.follow([pid, *descendants(pid)])

    def stop(self) -> None:
        """End the thread; the buffers can be closed then."""
        os.close(self._stopped)
        if self._thread.is_alive():
            self._thread.join()
        os.close(self._stop)
