"""What capset(2) is asked for, read at the call: its argument is a pointer, which a trace does not
follow, and /proc has forgotten it when the program is over.

A BPF program of thirty instructions runs whenever a thread of this machine begins the call, and
puts what it reads into a queue. It needs Linux 4.20, BPF, perf and the events of system calls.
"""

from __future__ import annotations

import os
import struct
from collections import deque
from pathlib import Path

from capadvise.caps import CapSet, from_mask
from capadvise.linux.ftrace import tracefs
from capadvise.linux.kernel import libc
from capadvise.linux.kernel.background import Background

EVENT = "syscalls/sys_enter_capset"
_RECORD = struct.Struct("<IIIi6I")
"""Thread, process, version of the header, error of reading, and what was read: effective,
permitted, inheritable, twice."""
_QUEUE = 4096
_PIDS = 4096
_VERSION_1 = 0x19980330
"""Sets of 32 bits: the second half was not the program's."""
_HEADER, _DATA = 16, 24
"""Where the arguments stand in the event (its format file says so on every 64-bit kernel)."""


class CapsetArguments:
    """The queue, by thread. Threads are those of the initial pid namespace."""

    def __init__(self, root: Path) -> None:
        """``root`` is that of tracefs. Raises OSError where the kernel or its lockdown refuses."""
        number = tracefs.event_id(root / "events" / EVENT)
        self._map = libc.bpf_queue(_RECORD.size, _QUEUE)
        self._open = [self._map]
        try:
            program = libc.bpf_load_tracepoint_program(_program(self._map))
            self._open.append(program)
            self._open.append(libc.perf_tracepoint(number, program))
        except OSError:
            self.close()
            raise
        self._of: dict[int, deque[CapSet | None]] = {}

    def take(self, tid: int) -> CapSet | None:
        """The permitted set of the oldest call of this thread that was not taken yet; None where it
        could not be read. To be asked at the end of each call."""
        while (record := libc.bpf_pop(self._map, _RECORD.size)) is not None:
            thread, _, version, error, *masks = _RECORD.unpack(record)
            if len(self._of) >= _PIDS:
                self._of.clear()
            self._of.setdefault(thread, deque()).append(_asked(version, error, masks))
        waiting = self._of.get(tid)
        if not waiting:
            return None
        asked = waiting.popleft()
        if not waiting:
            del self._of[tid]
        return asked

    def stop(self) -> None:
        """Read nothing any more. The kernel waits for all processors, a tenth of a second, while
        we have other things to do."""
        if len(self._open) > 1:  # the queue stays: what is in it can still be read
            event = self._open.pop()
            Background(lambda: os.close(event))

    def close(self) -> None:
        """Close all of it."""
        while self._open:
            os.close(self._open.pop())


def _asked(version: int, error: int, masks: list[int]) -> CapSet | None:
    if error:
        return None
    high = 0 if version == _VERSION_1 else masks[4]
    return from_mask(masks[1] | high << 32)


def attach(root: Path) -> CapsetArguments | None:
    """None where this kernel cannot tell: without BPF or perf, or in lockdown."""
    try:
        return CapsetArguments(root)
    except OSError:
        return None


# eBPF (Documentation/bpf/standardization/instruction-set.rst): operation, registers, offset, value.
_MOVE, _SET, _ADD, _CALL, _EXIT = 0xBF, 0xB7, 0x07, 0x85, 0x95
_STORE_ZERO, _STORE_64, _STORE_32, _LOAD_64, _LOAD_MAP = 0x7A, 0x7B, 0x63, 0x79, 0x18
_PID_TGID, _MAP_PUSH, _READ_USER = 14, 87, 112
_FRAME, _CONTEXT = 10, 6


def _program(queue: int) -> bytes:
    """Read both arguments into a record on the stack, and push that."""
    size = _RECORD.size
    code = [_op(_MOVE, _CONTEXT, 1)]
    code += [_op(_STORE_ZERO, _FRAME, 0, at - size) for at in range(0, size, 8)]
    code += [_op(_CALL, value=_PID_TGID), _op(_STORE_64, _FRAME, 0, -size)]
    code += _read(_DATA, 16, 24)
    code += [_op(_STORE_32, _FRAME, 0, 12 - size)]
    code += _read(_HEADER, 8, 4)
    code += [_op(_LOAD_MAP, 1, 1, value=queue), _op(0)]  # 1: a map, by its descriptor
    code += [_op(_MOVE, 2, _FRAME), _op(_ADD, 2, value=-size), _op(_SET, 3)]
    code += [_op(_CALL, value=_MAP_PUSH), _op(_SET, 0), _op(_EXIT)]
    return b"".join(code)


def _read(argument: int, to: int, length: int) -> list[bytes]:
    """Copy what an argument points to into the record."""
    return [
        _op(_MOVE, 1, _FRAME),
        _op(_ADD, 1, value=to - _RECORD.size),
        _op(_SET, 2, value=length),
        _op(_LOAD_64, 3, _CONTEXT, argument),
        _op(_CALL, value=_READ_USER),
    ]


def _op(code: int, to: int = 0, source: int = 0, offset: int = 0, value: int = 0) -> bytes:
    return struct.pack("<BBhi", code, source << 4 | to, offset, value)
