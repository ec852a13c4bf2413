"""What capset(2) is asked for, read at the call: /proc has forgotten it when a program is over."""

from __future__ import annotations

import struct
from collections import deque
from pathlib import Path

from capadvise.kernel import procfs, uapi
from capadvise.model.caps import CapSet, from_mask
from capadvise.observe.ftrace.bpf_probe import (
    FIRST,
    SECOND,
    Maps,
    Probe,
    begin,
    keep_result,
    push,
    read,
)

_RECORD = struct.Struct("<IIIi6I")
"""Thread, process, version of the header, error of reading, and what was read: effective,
permitted, inheritable, twice."""
_KEPT = 4096
"""So many calls that nobody has asked for: every process of this machine makes them."""


class CapsetArguments:
    """By thread. Threads are those of the initial pid namespace."""

    def __init__(self, root: Path) -> None:
        """Raises OSError as ``Probe``."""
        self.probe = Probe(root, _RECORD.size, {"capset": _program})
        self._of: dict[int, deque[CapSet | None]] = {}
        self._kept = 0
        self._known = (2 << procfs.last_cap()) - 1
        """The kernel ignores the bits above: programs that fill both words alike set some."""
        self._lost: set[int] = set()
        """Threads with calls that are not known, so that which is which is not known either; 0:
        all."""

    def take(self, tid: int) -> CapSet | None:
        """The permitted set of the oldest call of this thread that was not taken yet; None where it
        could not be read. To be asked at the end of each call."""
        for record in self.probe.records():
            thread, _, version, error, *masks = _RECORD.unpack(record)
            if self._kept >= _KEPT:
                self._of.clear()
                self._kept = 0
            self._of.setdefault(thread, deque()).append(self._asked(version, error, masks))
            self._kept += 1
        self._lost |= self.probe.lost().keys()
        if self._lost & {0, tid}:
            return None
        waiting = self._of.get(tid)
        if not waiting:
            return None
        self._kept -= 1
        asked = waiting.popleft()
        if not waiting:
            del self._of[tid]
        return asked

    def _asked(self, version: int, error: int, masks: list[int]) -> CapSet | None:
        if error:
            return None
        high = 0 if version == uapi.LINUX_CAPABILITY_VERSION_1 else masks[4]
        return from_mask((masks[1] | high << 32) & self._known)


def _program(maps: Maps) -> bytes:
    size = _RECORD.size
    code = [*begin(size), *read(size, SECOND, 16, 24), *keep_result(size, 12)]
    return b"".join([*code, *read(size, FIRST, 8, 4), *push(size, maps)])
