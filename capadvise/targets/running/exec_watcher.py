"""Following what is about to enter a container, where nobody who is followed starts it.

podman starts a new conmon for each ``exec``, and so does CRI-O. The runtime that it forks takes
some ten milliseconds until it executes the program. So every start and every fork of one wakes a
thread, which has the trace follow it at once; what it forks from then on, the kernel follows. That
is a race, and it is lost where others are setting up traces at that very moment.
"""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable

from capadvise.kernel import procfs
from capadvise.kernel.process_tree import descendants
from capadvise.observe.ftrace.instances import Buffers


class ExecWatcher:
    """The thread. Does nothing where the buffers do not tell of any exec."""

    def __init__(self, buffers: Buffers, is_ours: Callable[[int], bool]) -> None:
        """``is_ours``: whether a process is about to enter the container."""
        self._buffers, self._is_ours = buffers, is_ours
        self._stop, self._stopped = os.pipe()
        self._thread = threading.Thread(target=self._run, daemon=True, name="exec-watcher")
        if buffers.exec_watch is not None:
            self._thread.start()

    def _run(self) -> None:
        assert self._buffers.exec_watch is not None
        fds = self._buffers.exec_watch.wake_at_once()
        while True:
            ready, _, _ = select.select([*fds, self._stop], [], [])
            if self._stop in ready:
                return
            ours = [pid for pid in self._buffers.newly_executed() if self._is_ours(pid)]
            if ours:  # all at once: each time takes some ten milliseconds
                pids = {one for pid in ours for one in (pid, *descendants(pid))}
                self._buffers.follow([thread for pid in pids for thread in procfs.threads(pid)])

    def stop(self) -> None:
        """End the thread; the buffers can be closed then."""
        os.close(self._stopped)
        if self._thread.is_alive():
            self._thread.join()
        os.close(self._stop)
