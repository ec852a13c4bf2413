"""The observer watches itself: a target that is root can switch its trace off, and on again.

inotify tells that a file of a trace instance was written, through whatever mount. A thread of ours
makes checks on purpose, the canaries: one that does not arrive shows what no such file does, such
as probes that were disarmed for the whole machine.
"""

import os
import struct
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property

from capadvise.kernel import libc, own_caps, uapi

_HEAD = struct.Struct("<iIII")
"""A notice of inotify(7) begins with the watch, what happened, a cookie, the name's length."""
_WRITTEN = uapi.IN_MODIFY | uapi.IN_CLOSE_WRITE | uapi.IN_Q_OVERFLOW
_TAKES = "trace_pipe"
"""How the names of files begin that take events out of the buffer."""
_WAKING, _FOLLOWED = "buffer_percent", "set_event_"
"""The files that we write while the target runs: when we are woken, and which threads we follow."""


class Writers:
    """Watches for others who write to files of a trace, or open one that takes events out of it.
    Sees nobody if the user has no inotify instance left."""

    def __init__(self, paths: Iterable[str], events: Iterable[str]) -> None:
        """``paths``: files, and folders of files. ``events``: the folders of events. The kernel
        makes new ones when nobody holds these: each is held, and with it the folder above."""
        self._seen: set[str] = set()
        self._lock = threading.Lock()
        self._fds: list[int] = []
        with suppress(OSError):
            self._fds.append(libc.inotify())
            for path in events:
                self._fds.append(os.open(path, os.O_PATH | os.O_CLOEXEC))
                self._add(path)
                self._add(os.path.dirname(path))
            for path in paths:
                self._add(path)

    def _add(self, path: str) -> None:
        with suppress(OSError):  # this kernel has no such file
            libc.inotify_add(self._fds[0], path, uapi.IN_OPEN | _WRITTEN)

    def look(self) -> list[str]:
        """Their deeds so far, in words."""
        with self._lock:
            self._read()
            return sorted(self._seen)

    def _read(self, *ours: str) -> None:
        """Note what is new. ``ours``: how the names of the files begin that we have written."""
        with suppress(BlockingIOError):
            while self._fds:
                for what, name in _notices(os.read(self._fds[0], 1 << 16)):
                    if what & _WRITTEN and not name.startswith((_WAKING, *ours)):
                        self._seen.add(f"{name or 'a setting of the kernel'} was written")
                    elif what & uapi.IN_OPEN and name.startswith(_TAKES):
                        self._seen.add(f"{name} was opened")

    @contextmanager
    def following(self) -> Iterator[None]:
        """Around our own writes of which threads are followed, in any thread."""
        with self._lock:
            self._read()
            yield
            self._read(_FOLLOWED)

    def close(self) -> None:
        """Watch no more."""
        with self._lock:
            self._read()
            while self._fds:
                os.close(self._fds.pop())


def _notices(data: bytes) -> Iterator[tuple[int, str]]:
    at = 0
    while at < len(data):
        _, what, _, length = _HEAD.unpack_from(data, at)
        at += _HEAD.size + length
        yield what, data[at - length : at].rstrip(b"\0").decode()


class Canary:
    """A thread that is followed, and makes checks which change nothing: of SETPCAP, and of
    SYS_ADMIN, whose events have a buffer of their own."""

    def __init__(self) -> None:
        self.made = 0
        self._go, self._done = threading.Semaphore(0), threading.Semaphore(0)
        self._ends = False
        self._thread = threading.Thread(target=self._run, daemon=True, name="canary")
        self._thread.start()

    @cached_property
    def thread(self) -> int:
        """Its number, once it has made the checks that do not count."""
        self._done.acquire()
        return self._thread.native_id or 0

    def sing(self) -> None:
        """Make one check of each, and wait until that is done."""
        self.made += 1
        self._go.release()
        self._done.acquire()

    def _run(self) -> None:
        own_caps.keep()
        while not self._ends:
            self._done.release()
            self._go.acquire()
            for check in (libc.check_setpcap, libc.check_sys_admin):
                with suppress(OSError):
                    check()

    def end(self) -> None:
        """End the thread."""
        self._ends = True
        self._go.release()
        self._thread.join()
