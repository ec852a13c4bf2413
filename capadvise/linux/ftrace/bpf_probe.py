"""Small BPF programs that read what an argument of a system call points to: a trace does not.

A program runs whenever a thread of this machine begins the call, and puts what it reads into a
queue. It needs Linux 5.5, BPF, perf and the events of system calls.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

from capadvise.linux.ftrace import tracefs
from capadvise.linux.kernel import libc

_QUEUE = 4096
FIRST, SECOND = 16, 24
"""Where the arguments stand in the event of a call (its format file says so)."""


class Probe:
    """A program, where it runs, and its queue."""

    def __init__(self, root: Path, call: str, size: int, program: Callable[[int], bytes]) -> None:
        """``root`` is that of tracefs; ``program`` makes the code from the queue's descriptor.
        Raises OSError where the kernel or its lockdown refuses."""
        number = tracefs.event_id(root / "events" / "syscalls" / f"sys_enter_{call}")
        self._size, self._queue = size, libc.bpf_queue(size, _QUEUE)
        self._open = [self._queue]
        try:
            loaded = libc.bpf_load_tracepoint_program(program(self._queue))
            self._open.append(loaded)
            self._open.append(libc.perf_tracepoint(number, loaded))
        except OSError:
            self.close()
            raise

    def records(self) -> Iterator[bytes]:
        """What was read and not taken yet, the oldest first."""
        while (record := libc.bpf_pop(self._queue, self._size)) is not None:
            yield record

    @property
    def slow_to_close(self) -> int:
        """A descriptor whose last copy another process should hold: closing that one, the kernel
        waits for all processors, some 70 ms."""
        return self._open[-1]

    def close(self) -> None:
        """Close our copies."""
        while self._open:
            os.close(self._open.pop())


# Instructions (Documentation/bpf/standardization/instruction-set.rst): operation, registers,
# offset, value. Register 10 is the end of the stack, 6 keeps the event.
_MOVE, _SET, _ADD, _CALL, _EXIT = 0xBF, 0xB7, 0x07, 0x85, 0x95
_STORE_ZERO, _STORE_64, _STORE_32, _LOAD_64, _LOAD_WIDE, _LOAD_MAP = 0x7A, 0x7B, 0x63, 0x79, 0x18, 1
_PID_TGID, _MAP_PUSH, _READ_USER = 14, 87, 112
_FRAME, _EVENT = 10, 6


def begin(size: int) -> list[bytes]:
    """Clear a record of this size, and write thread and process into its first 8 bytes."""
    code = [_op(_MOVE, _EVENT, 1)]
    code += [_op(_STORE_ZERO, _FRAME, 0, at - size) for at in range(0, size, 8)]
    return [*code, _op(_CALL, value=_PID_TGID), _op(_STORE_64, _FRAME, 0, -size)]


def read(size: int, argument: int, to: int, length: int) -> list[bytes]:
    """Copy what an argument points to into the record. Register 0 has the error, if there is
    one."""
    return [
        _op(_MOVE, 1, _FRAME),
        _op(_ADD, 1, value=to - size),
        _op(_SET, 2, value=length),
        _op(_LOAD_64, 3, _EVENT, argument),
        _op(_CALL, value=_READ_USER),
    ]


def keep_result(size: int, to: int) -> list[bytes]:
    """Write the error of reading into the record."""
    return [_op(_STORE_32, _FRAME, 0, to - size)]


def push(size: int, queue: int) -> list[bytes]:
    """Put the record into the queue, and end."""
    return [
        _op(_LOAD_WIDE, 1, _LOAD_MAP, value=queue),
        _op(0),
        _op(_MOVE, 2, _FRAME),
        _op(_ADD, 2, value=-size),
        _op(_SET, 3),
        _op(_CALL, value=_MAP_PUSH),
        _op(_SET, 0),
        _op(_EXIT),
    ]


def _op(code: int, to: int = 0, source: int = 0, offset: int = 0, value: int = 0) -> bytes:
    return struct.pack("<BBhi", code, source << 4 | to, offset, value)
