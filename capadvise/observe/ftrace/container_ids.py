"""Which container a shim or conmon was started for, read at its exec: a container may be over, and
its shim gone, before a busy machine lets us ask /proc for its arguments."""

from __future__ import annotations

import struct
from pathlib import Path

from capadvise.observe.ftrace.bpf_probe import (
    SECOND,
    Maps,
    Probe,
    begin,
    follow,
    only_if_length,
    push,
    read,
)

_ID = 64
"""Letters of an id, of every engine."""
_PLACE = 4
"""Which argument it is: ``containerd-shim-runc-v2 -namespace N -id ID``, ``conmon --api-version 1
-c ID``. Other programs with one of that length there are distinguished by their names."""
_POINTERS_AT, _TEXT_AT = 8, 8 + 8 * (_PLACE + 1)
_RECORD = struct.Struct(f"<II{_TEXT_AT - _POINTERS_AT}x{_ID}s8x")
"""Thread, process, where the arguments stand, and the id with its end."""
_KEPT = 4096
"""Ids of so many programs: every one on this machine that has such an argument."""


class ContainerIds:
    """By process, of the initial pid namespace."""

    def __init__(self, root: Path) -> None:
        """Raises OSError as ``Probe``."""
        self.probe = Probe(root, _RECORD.size, {"execve": _program})
        self._of: dict[int, str] = {}

    def of(self, pid: int) -> str | None:
        """The container that this process keeps, if it is a shim; None where that was not read."""
        for record in self.probe.records():
            _, process, read_ = _RECORD.unpack(record)
            if len(self._of) >= _KEPT:
                self._of.clear()
            self._of[process] = read_.decode("ascii", errors="replace")
        return self._of.get(pid)


def _program(maps: Maps) -> bytes:
    size = _RECORD.size
    code = [*begin(size), *read(size, SECOND, _POINTERS_AT, _TEXT_AT - _POINTERS_AT)]
    code += follow(size, _POINTERS_AT + 8 * _PLACE, _TEXT_AT, _ID + 1)
    return b"".join([*code, *only_if_length(_ID), *push(size, maps)])
