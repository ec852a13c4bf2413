"""Small BPF programs that read what an argument of a system call points to: a trace does not.

A program runs whenever a thread of this machine begins the call, and puts what it reads into a
queue. It needs Linux 5.5, BPF, perf and the events of system calls.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from capadvise.linux.ftrace import tracefs
from capadvise.linux.kernel import libc

_QUEUE = 32768
"""So many records wait to be read. They are of all programs on the machine, and what a full queue
does not take is lost: with 4096, a busy machine lost one of eight runs of ps."""
FIRST, SECOND, THIRD = 16, 24, 32
"""Where the arguments stand in the event of a call (its format file says so)."""


class Probe:
    """Programs, the calls at whose begin they run, and the queue of them all."""

    def __init__(
        self, root: Path, size: int, programs: Mapping[str, Callable[[int], bytes]]
    ) -> None:
        """``root`` is that of tracefs; ``programs`` make the code for each call from the queue's
        descriptor. Raises OSError where the kernel or its lockdown refuses."""
        self._queue = libc.bpf_queue(size, _QUEUE)
        self._pop = libc.bpf_popping(self._queue, size)
        self.slow_to_close: list[int] = []
        """Descriptors whose last copies another process should hold: closing those, the kernel
        waits for all processors, some 70 ms each."""
        try:
            for call, program in programs.items():
                self._attach(root, call, program(self._queue))
        except OSError:
            self.close()
            raise

    def _attach(self, root: Path, call: str, code: bytes) -> None:
        number = tracefs.event_id(root / "events" / "syscalls" / f"sys_enter_{call}")
        loaded = libc.bpf_load_tracepoint_program(code)
        try:
            self.slow_to_close.append(libc.perf_tracepoint(number, loaded))
        finally:
            os.close(loaded)

    def records(self) -> Iterator[bytes]:
        """What was read and not taken yet, the oldest first. Not more than the queue holds: others
        on this machine can fill it faster than it is emptied."""
        for _ in range(_QUEUE):
            if (record := self._pop()) is None:
                return
            yield record

    def close(self) -> None:
        """Close our copies."""
        for fd in (*self.slow_to_close, self._queue):
            os.close(fd)
        self.slow_to_close = []


# Instructions (Documentation/bpf/standardization/instruction-set.rst): operation, registers,
# offset, value. Register 10 is the end of the stack, 6 keeps the event.
_MOVE, _SET, _ADD, _CALL, _EXIT = 0xBF, 0xB7, 0x07, 0x85, 0x95
_STORE, _STORE_64, _STORE_32, _LOAD_64, _LOAD_WIDE, _LOAD_MAP = 0x7A, 0x7B, 0x63, 0x79, 0x18, 1
_JUMP_EQUAL, _JUMP_AT_MOST, _SHIFT_LEFT, _LOAD_8 = 0x1D, 0xB5, 0x67, 0x71
_PID_TGID, _MAP_PUSH, _READ_USER, _READ_USER_TEXT = 14, 87, 112, 114
_FRAME, _EVENT = 10, 6


def begin(size: int) -> list[bytes]:
    """Clear a record of this size, and write thread and process into its first 8 bytes."""
    code = [_op(_MOVE, _EVENT, 1)]
    code += [_op(_STORE, _FRAME, 0, at - size) for at in range(0, size, 8)]
    return [*code, _op(_CALL, value=_PID_TGID), _op(_STORE_64, _FRAME, 0, -size)]


def note(size: int, at: int, value: int) -> list[bytes]:
    """Write a number of 8 bytes into the record."""
    return [_op(_STORE, _FRAME, 0, at - size, value)]


def read(size: int, argument: int, to: int, length: int, *, text: bool = False) -> list[bytes]:
    """Copy what an argument points to into the record; a text up to its end. Register 0 has the
    error, if there is one."""
    return _read(size, _op(_LOAD_64, 3, _EVENT, argument), to, length, text=text)


def follow(size: int, pointer: int, to: int, length: int) -> list[bytes]:
    """Copy the text that a pointer in the record points to into the record."""
    return _read(size, _op(_LOAD_64, 3, _FRAME, pointer - size), to, length, text=True)


def _read(size: int, load: bytes, to: int, length: int, *, text: bool) -> list[bytes]:
    return [
        _op(_MOVE, 1, _FRAME),
        _op(_ADD, 1, value=to - size),
        _op(_SET, 2, value=length),
        load,
        _op(_CALL, value=_READ_USER_TEXT if text else _READ_USER),
    ]


def keep_result(size: int, to: int) -> list[bytes]:
    """Write the error of reading into the record."""
    return [_op(_STORE_32, _FRAME, 0, to - size)]


def only_if_begins(size: int, at: int, prefix: bytes) -> list[bytes]:
    """End here unless the record has these bytes, 8 at most, at this place."""
    unused = 8 * (8 - len(prefix))
    low, high = struct.unpack("<ii", struct.pack("<Q", int.from_bytes(prefix, "little") << unused))
    return [
        _op(_LOAD_64, 2, _FRAME, at - size),
        _op(_SHIFT_LEFT, 2, value=unused),
        *(_op(_LOAD_WIDE, 3, value=low), _op(0, value=high)),
        _op(_JUMP_EQUAL, 2, 3, 2),
        *_end(),
    ]


def only_if_at_most(size: int, at: int, last: bytes) -> list[bytes]:
    """End here unless the byte at this place of the record is this one or a lower one."""
    return [
        _op(_LOAD_8, 2, _FRAME, at - size),
        _op(_JUMP_AT_MOST, 2, offset=2, value=ord(last)),
        *_end(),
    ]


def push(size: int, queue: int) -> list[bytes]:
    """Put the record into the queue, and end."""
    return [
        _op(_LOAD_WIDE, 1, _LOAD_MAP, value=queue),
        _op(0),
        _op(_MOVE, 2, _FRAME),
        _op(_ADD, 2, value=-size),
        _op(_SET, 3),
        _op(_CALL, value=_MAP_PUSH),
        *_end(),
    ]


def _end() -> list[bytes]:
    return [_op(_SET, 0), _op(_EXIT)]


def _op(code: int, to: int = 0, source: int = 0, offset: int = 0, value: int = 0) -> bytes:
    return struct.pack("<BBhi", code, source << 4 | to, offset, value)
