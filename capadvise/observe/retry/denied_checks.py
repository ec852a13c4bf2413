"""What the kernel refused a thread in its present call: a trace buffer of denied checks alone.

Only with tracefs. CAP_SYS_ADMIN is left out of the buffer, since it is refused at every mmap; the
buffer is small and forgets what is old, so that reading it costs little.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from capadvise.observe.ftrace import ringbuffer
from capadvise.observe.ftrace.check_events import STACK_POINTER_STEP

_KEPT, _THREADS = 32, 4096
"""So many events are kept, of so many threads."""
_PAGES = 64
"""More than the buffer has (``instances.DENIED_KB``)."""


class RefusedChecks:
    """Reads the buffer whose place the plan names; without one, it knows nothing."""

    def __init__(self, plan: dict[str, Any] | None) -> None:
        self._plan = plan
        self._pages: list[int] = []
        self._waiting: dict[int, deque[tuple[int, int, bytes]]] = {}
        """Thread → (time, type, event) that nobody asked for yet."""

    def _open(self, plan: dict[str, Any]) -> None:
        folder = Path(plan["folder"])
        self._pages = [
            os.open(cpu / "trace_pipe_raw", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            for cpu in sorted((folder / "per_cpu").iterdir())
        ]
        check = _format(folder, plan["check"])
        self._event, self._cap = check.id, check.unpacker("cap")
        self._returned = 0
        if plan["returned"]:  # the refusal comes apart: see ``probes``
            self._pointer = check.unpacker("sp")
            returned = _format(folder, plan["returned"])
            self._returned, self._return_pointer = returned.id, returned.unpacker("sp")

    def since(self, tid: int, began: int) -> list[int] | None:
        """The capabilities refused to a thread since then (ns of CLOCK_MONOTONIC), in order;
        None where nobody listens, or something was lost."""
        if self._plan is None:
            return None
        if not self._pages:  # it is made while the target is held
            self._open(self._plan)
        complete = self._take_in()
        mine = self._waiting.pop(tid, ())
        events = sorted((item for item in mine if item[0] >= began), key=lambda item: item[0])
        return list(self._refused(events)) if complete else None

    def _take_in(self) -> bool:
        """Read all that is there, and keep it for its threads; False where something was lost."""
        complete = True
        for fd in self._pages:
            for _ in range(_PAGES):  # others of the tree may be refused faster than we read
                if not (page := self._read(fd)):
                    break
                complete &= not ringbuffer.missed(page)
                for when, kind, pid, event in ringbuffer.events(page):
                    self._waiting.setdefault(pid, deque(maxlen=_KEPT)).append((when, kind, event))
        while len(self._waiting) > _THREADS:
            del self._waiting[next(iter(self._waiting))]
        return complete

    def _refused(self, events: Iterable[tuple[int, int, bytes]]) -> Iterator[int]:
        asked: dict[int, int] = {}
        for _, kind, event in events:
            if kind == self._event:
                (cap,) = self._cap.unpack_from(event)
                if self._returned:
                    asked[self._pointer.unpack_from(event)[0] + STACK_POINTER_STEP] = cap
                else:
                    yield cap
            elif kind == self._returned:
                cap = asked.pop(self._return_pointer.unpack_from(event)[0], None)
                if cap is not None:
                    yield cap

    @staticmethod
    def _read(fd: int) -> bytes:
        try:
            return os.read(fd, 1 << 16)
        except BlockingIOError:
            return b""


def _format(folder: Path, event: str) -> ringbuffer.EventFormat:
    return ringbuffer.parse_format(
        (folder / "events" / event.replace(":", "/") / "format").read_text()
    )
