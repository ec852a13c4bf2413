"""Small BPF programs that read the memory that an argument of a system call points to: a trace
shows only the pointer.

A program runs whenever a thread of this machine begins the call, and puts what it reads into a
queue. It needs Linux 5.5, BPF, perf and the events of system calls.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from capadvise.kernel import libc, uapi
from capadvise.observe.ftrace import tracefs
from capadvise.observe.ftrace.bpf_assembler import instruction as _op

_QUEUE = 32768
"""The most records that wait to be read. Some come from all programs on the machine, and a full
queue loses records: with 4096, a busy machine lost one of eight runs of ps."""
_LOSERS = 4096
"""The most threads whose lost records are counted."""
FIRST, SECOND, THIRD, FOURTH = 16, 24, 32, 40
"""Offsets of the arguments in the event of a call (from its format file)."""
NAME_LENGTH = 16
"""TASK_COMM_LEN: an exec names a thread by its program, up to so many bytes and the end."""
_GROUP = 64
"""Threads that share an entry of the table of followed threads: each has a byte, which can be set
without a lock."""


class Maps(NamedTuple):
    """Descriptors of what the programs write into."""

    queue: int
    lost: int
    """How many records a full queue did not take, by thread and process."""


class Probe:
    """Programs, the calls at whose begin they run, and the queue of them all."""

    def __init__(
        self, root: Path, size: int, programs: Mapping[str, Callable[[Maps], bytes]]
    ) -> None:
        """``root`` is that of tracefs; ``programs`` make the code for each call. Raises OSError if
        the kernel or its lockdown refuses."""
        self._maps = Maps(
            libc.bpf_map(uapi.BPF_MAP_TYPE_QUEUE, 0, size, _QUEUE),
            libc.bpf_map(uapi.BPF_MAP_TYPE_HASH, 8, 8, _LOSERS),
        )
        self._pop = libc.bpf_popping(self._maps.queue, size)
        self._was_full = False
        self.slow_to_close: list[int] = []
        """Descriptors whose last copies another process should hold: closing those, the kernel
        waits for all processors, some 70 ms each."""
        try:
            for call, program in programs.items():
                self._attach(root, call, program(self._maps))
        except OSError:
            self.close()
            raise

    def _attach(self, root: Path, call: str, code: bytes) -> None:
        number = tracefs.event_id(root / "events" / "syscalls" / f"sys_enter_{call}")
        self.slow_to_close.append(_attached(number, code))

    def records(self) -> Iterator[bytes]:
        """The records not taken yet, the oldest first; no more than the queue holds, since other
        programs can fill it faster than we empty it."""
        for _ in range(_QUEUE):
            if (record := self._pop()) is None:
                return
            yield record
        self._was_full = True

    def lost(self) -> dict[int, int]:
        """How many records of each thread were lost since the last call; thread 0 stands for all if
        there were too many threads."""
        if not self._was_full:
            return {}
        self._was_full = False
        lost: dict[int, int] = {}
        for _ in range(_LOSERS):
            if (taken := libc.bpf_take_count(self._maps.lost)) is None:
                return lost
            thread = taken[0] & 0xFFFFFFFF
            lost[thread] = lost.get(thread, 0) + taken[1]
        return {0: sum(lost.values())}

    def close(self) -> None:
        """Close our copies."""
        for fd in (*self.slow_to_close, *self._maps):
            os.close(fd)
        self.slow_to_close = []


class Followed:
    """The followed threads, for BPF programs: those that are added, and all that they fork from
    then on, as in a trace instance with ``event-fork``.

    A thread stays in the table after its end. Another thread may get its number: then the programs
    record too much, and the reader filters that.
    """

    def __init__(self, root: Path, numbers: int | None = None) -> None:
        """``root`` is that of tracefs; ``numbers``: the limit of thread numbers (sysctl
        kernel.pid_max). Raises OSError as ``Probe``."""
        numbers = numbers or int(Path("/proc/sys/kernel/pid_max").read_text())
        groups = -(-numbers // _GROUP)
        self.table = libc.bpf_array(_GROUP, groups)
        self.slow_to_close: list[int] = []
        """See ``Probe``."""
        try:
            self._bytes = mmap.mmap(self.table, groups * _GROUP)
            event = root / "events" / "sched" / "sched_process_fork"
            child = tracefs.format_of(event).fields["child_pid"].offset
            number = tracefs.event_id(event)
            self.slow_to_close.append(_attached(number, _program_of_fork(self.table, child)))
        except OSError:
            self.close()
            raise

    def add(self, threads: Iterable[int]) -> None:
        """Follow these, too."""
        for thread in threads:
            if thread < len(self._bytes):  # else the programs take it for followed
                self._bytes[thread] = 1

    def close(self) -> None:
        """Close our copies."""
        for fd in (*self.slow_to_close, self.table):
            os.close(fd)
        self.slow_to_close = []  # the mapping has a copy of the table's, until it is forgotten


def _attached(number: int, code: bytes) -> int:
    loaded = libc.bpf_load_program(uapi.BPF_PROG_TYPE_TRACEPOINT, code)
    try:
        return libc.perf_tracepoint(number, loaded)
    finally:
        os.close(loaded)


# Instructions (Documentation/bpf/standardization/instruction-set.rst): operation, registers,
# offset, value. Register 10 is the end of the stack, 6 keeps the event.
_MOVE, _SET, _ADD, _CALL, _EXIT = 0xBF, 0xB7, 0x07, 0x85, 0x95
_STORE, _STORE_64, _STORE_32, _LOAD_64, _LOAD_WIDE, _LOAD_MAP = 0x7A, 0x7B, 0x63, 0x79, 0x18, 1
_JUMP_EQUAL, _JUMP_AT_MOST, _SHIFT_LEFT, _LOAD_8 = 0x1D, 0xB5, 0x67, 0x71
_LOAD_32, _STORE_8, _AND, _SHIFT_RIGHT, _ADD_REGISTER = 0x61, 0x72, 0x57, 0x77, 0x0F
_JUMP_EQUAL_TO, _JUMP_NOT_EQUAL_TO, _ADD_TO_64 = 0x15, 0x55, 0xDB
_TIME, _PID_TGID, _NAME, _MAP_PUSH, _READ_USER, _READ_USER_TEXT = 5, 14, 16, 87, 112, 114
_MAP_LOOKUP, _MAP_UPDATE = 1, 2
_FRAME, _EVENT, _THREAD = 10, 6, 7


def begin(size: int) -> list[bytes]:
    """Clear a record of this size, and write thread and process into its first 8 bytes."""
    return [*clear(size, 0, size), *begin_uncleared(size)]


def begin_uncleared(size: int) -> list[bytes]:
    """Write thread and process alone: a program at a frequent call clears the rest only if it has
    something to record."""
    return [_op(_MOVE, _EVENT, 1), _op(_CALL, value=_PID_TGID), _op(_STORE_64, _FRAME, 0, -size)]


def clear(size: int, at: int, end: int) -> list[bytes]:
    """Clear this part of a record."""
    return [_op(_STORE, _FRAME, 0, place - size) for place in range(at, end, 8)]


def name(size: int, at: int) -> list[bytes]:
    """Write the name of the thread into the record: ``NAME_LENGTH`` bytes."""
    to = [_op(_MOVE, 1, _FRAME), _op(_ADD, 1, value=at - size)]
    return [*to, _op(_SET, 2, value=NAME_LENGTH), _op(_CALL, value=_NAME)]


def time(size: int, at: int) -> list[bytes]:
    """Write the time in ns into the record, by CLOCK_MONOTONIC."""
    return [_op(_CALL, value=_TIME), _op(_STORE_64, _FRAME, 0, at - size)]


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


def only_if_length(length: int) -> list[bytes]:
    """End here unless the text that was just read has so many bytes."""
    with_its_end = length + 1
    return [_op(_JUMP_EQUAL_TO, 0, offset=2, value=with_its_end), *_end()]


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


def only_if_may_begin(size: int, at: int, prefix: bytes) -> list[bytes]:
    """Like ``only_if_begins``, but only if the 8 bytes could be read: a shorter text can end at the
    end of a page."""
    begins = only_if_begins(size, at, prefix)
    return [_op(_JUMP_NOT_EQUAL_TO, 0, offset=len(begins)), *begins]


def only_if_over_or_at_most(size: int, at: int, last: bytes) -> list[bytes]:
    """End here unless the text of the record is over at this place, or goes on with a slash and
    with a byte that is this one or a lower one."""
    after_slash = [
        _op(_LOAD_8, 2, _FRAME, at + 1 - size),
        _op(_JUMP_AT_MOST, 2, offset=2, value=ord(last)),
        *_end(),
    ]
    no_slash = [_op(_JUMP_EQUAL_TO, 2, offset=2, value=ord("/")), *_end()]
    skipped = len(no_slash) + len(after_slash)
    return [
        _op(_LOAD_8, 2, _FRAME, at - size),
        _op(_JUMP_EQUAL_TO, 2, offset=skipped, value=0),
        *no_slash,
        *after_slash,
    ]


def only_if_lacks(argument: int, flag: int) -> list[bytes]:
    """End here if an argument has this flag."""
    flagged = [_op(_LOAD_64, 2, _EVENT, argument), _op(_AND, 2, value=flag)]
    return [*flagged, _op(_JUMP_EQUAL_TO, 2, offset=2), *_end()]


def only_if_followed(size: int, table: int) -> list[bytes]:
    """End here unless the thread at the start of the record is followed. A number beyond the table
    counts as followed: pid_max may have been raised since."""
    unless = [
        _op(_ADD_REGISTER, 0, _THREAD),
        _op(_LOAD_8, 2, 0),
        _op(_JUMP_NOT_EQUAL_TO, 2, offset=2),
        *_end(),
    ]
    find = [_op(_LOAD_32, _THREAD, _FRAME, -size), *_find(table, -size - 8)]
    return [*find, _op(_JUMP_EQUAL_TO, 0, offset=len(unless)), *unless]


def _program_of_fork(table: int, child: int) -> bytes:
    """The program that follows the children of followed threads. ``child``: the offset of the
    child's number in the event."""
    code = [*begin(8), *only_if_followed(8, table)]
    code += [_op(_LOAD_32, _THREAD, _EVENT, child), *_find(table, -16)]
    code += [
        _op(_JUMP_EQUAL_TO, 0, offset=2),
        _op(_ADD_REGISTER, 0, _THREAD),
        _op(_STORE_8, value=1),
    ]
    return b"".join([*code, *_end()])


def _find(table: int, free: int) -> list[bytes]:
    """Write the group of a thread into register 0, 0 if there is none, and where the thread is in
    it into its own. ``free``: a place on the stack."""
    return [
        *(_op(_MOVE, 1, _THREAD), _op(_SHIFT_RIGHT, 1, value=_GROUP.bit_length() - 1)),
        _op(_STORE_32, _FRAME, 1, free),
        *_pass(table, free),
        *(_op(_CALL, value=_MAP_LOOKUP), _op(_AND, _THREAD, value=_GROUP - 1)),
    ]


def push(size: int, maps: Maps) -> list[bytes]:
    """Put the record into the queue, or count it as lost if the queue is full, and end."""
    code = [*_pass(maps.queue, -size), _op(_SET, 3), _op(_CALL, value=_MAP_PUSH)]
    counted = [_op(_SET, 1, value=1), _op(_ADD_TO_64, 0, 1), *_end()]
    full = [*_pass(maps.lost, -size), _op(_CALL, value=_MAP_LOOKUP)]
    full += [_op(_JUMP_EQUAL_TO, 0, offset=len(counted)), *counted]
    # The record is lost: its place behind thread and process is free for the count.
    full += [_op(_STORE, _FRAME, 0, 8 - size, 1), *_pass(maps.lost, -size)]
    full += [_op(_MOVE, 3, _FRAME), _op(_ADD, 3, value=8 - size), _op(_SET, 4)]
    full += [_op(_CALL, value=_MAP_UPDATE)]
    return [*code, _op(_JUMP_EQUAL_TO, 0, offset=len(full)), *full, *_end()]


def _pass(table: int, at: int) -> list[bytes]:
    """The first two arguments of a call: a map, and a place below the end of the stack."""
    load = [_op(_LOAD_WIDE, 1, _LOAD_MAP, value=table), _op(0)]
    return [*load, _op(_MOVE, 2, _FRAME), _op(_ADD, 2, value=at)]


def _end() -> list[bytes]:
    return [_op(_SET, 0), _op(_EXIT)]
