"""What the kernel refused a thread in its present call: a trace buffer of denied checks alone.

Only with tracefs. CAP_SYS_ADMIN is left out of the buffer, since it is refused at every mmap; the
buffer is small and forgets what is old, so that reading it costs little.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

from capadvise.linux import ringbuffer


class Denied:
    """Reads the buffer whose place the plan names; without one, it knows nothing."""

    def __init__(self, plan: dict[str, Any] | None) -> None:
        self._plan = plan
        self._pages: list[int] = []
        if plan is not None:
            self._event = int(plan["event"])
            self._cap = struct.Struct(f"<{plan['offset']}xi")

    def since(self, tid: int, began: int) -> list[int] | None:
        """The capabilities refused to a thread since then (ns of CLOCK_MONOTONIC), in order;
        None where nobody listens."""
        if self._plan is None:
            return None
        if not self._pages:  # it is made while the target is held
            self._pages = [
                os.open(cpu / "trace_pipe_raw", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
                for cpu in sorted(Path(self._plan["folder"], "per_cpu").iterdir())
            ]
        found = []
        for fd in self._pages:
            while page := self._read(fd):
                for when, kind, pid, event in ringbuffer.events(page):
                    if kind == self._event and pid == tid and when >= began:
                        found.append((when, self._cap.unpack_from(event)[0]))
        return [cap for _, cap in sorted(found, key=lambda item: item[0])]

    @staticmethod
    def _read(fd: int) -> bytes:
        try:
            return os.read(fd, 1 << 16)
        except BlockingIOError:
            return b""
