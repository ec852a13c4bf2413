"""Small BPF programs that read the memory that an argument of a system call points to: a trace
shows only the pointer.

A program runs whenever a thread of this machine begins the call, and puts what it reads into a
queue. It needs Linux 5.5, BPF, perf and the events of system calls.
"""

from __future__ import annotations

import mmap
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from struct import Struct
from typing import Any, NamedTuple

from capadvise.kernel import libc, uapi
from capadvise.observe.ftrace import tracefs
from capadvise.observe.ftrace.bpf_assembler import FRAME, GROUP, MAP_LOOKUP, Assembler

_QUEUE = 32768
"""The most records that wait to be read. Some come from all programs on the machine, and a full
queue loses records: with 4096, a busy machine lost one of eight runs of ps."""
_LOSERS = 4096
"""The most threads whose lost records are counted."""
FIRST, SECOND, THIRD, FOURTH = 16, 24, 32, 40
"""Offsets of the arguments in the event of a call (from its format file)."""
NAME_LENGTH = 16
"""TASK_COMM_LEN: an exec names a thread by its program, up to so many bytes and the end."""


class Maps(NamedTuple):
    """Descriptors of what the programs write into."""

    queue: int
    lost: int
    """How many records a full queue did not take, by thread and process."""


class Probe:
    """Programs, the calls at whose begin they run, and the queue of them all."""

    def __init__(
        self, root: Path, record: Struct, programs: Mapping[str, Callable[[ProbeProgram], object]]
    ) -> None:
        """``root`` is that of tracefs; ``record`` begins with thread and process; ``programs``
        write what each call adds. Raises OSError if the kernel or its lockdown refuses."""
        self._maps = Maps(
            libc.bpf_map(uapi.BPF_MAP_TYPE_QUEUE, 0, record.size, _QUEUE),
            libc.bpf_map(uapi.BPF_MAP_TYPE_HASH, 8, 8, _LOSERS),
        )
        self._pop = libc.bpf_popping(self._maps.queue, record.size)
        self._record = record
        self._was_full = False
        self.slow_to_close: list[int] = []
        """Descriptors whose last copies another process should hold: closing those, the kernel
        waits for all processors, some 70 ms each."""
        try:
            for call, write in programs.items():
                number = tracefs.event_id(root / "events" / "syscalls" / f"sys_enter_{call}")
                code = ProbeProgram(record.size)
                write(code)
                self.slow_to_close.append(_attached(number, code.push(self._maps)))
        except OSError:
            self.close()
            raise

    def records(self) -> Iterator[tuple[Any, ...]]:
        """The records not taken yet, the oldest first; no more than the queue holds, since other
        programs can fill it faster than we empty it."""
        for _ in range(_QUEUE):
            if (record := self._pop()) is None:
                return
            yield self._record.unpack(record)
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
        groups = -(-numbers // GROUP)
        self.table = libc.bpf_array(GROUP, groups)
        self.slow_to_close: list[int] = []
        """See ``Probe``."""
        try:
            self._bytes = mmap.mmap(self.table, groups * GROUP)
            event = root / "events" / "sched" / "sched_process_fork"
            child = tracefs.format_of(event).fields["child_pid"].offset
            code = ProbeProgram(8)
            code.begin()
            code.end_unless_followed(self)
            code.follow_thread(self.table, child)
            self.slow_to_close.append(_attached(tracefs.event_id(event), code.finish()))
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


_TIME, _PID_TGID, _NAME, _MAP_PUSH, _READ_USER, _READ_USER_TEXT = 5, 14, 16, 87, 112, 114
_MAP_UPDATE = 2
_EVENT, _THREAD = 6, 7
"""Registers that are kept."""


class ProbeProgram(Assembler):
    """A program that writes a record at the end of the stack. Offsets are those in the record.

    At the label ``end`` it ends without a record: ``end_unless_…`` jumps there.
    """

    def __init__(self, size: int) -> None:
        """``size``: bytes of the record."""
        super().__init__()
        self._size = size

    def begin(self, *, clear: bool = True) -> None:
        """Clear the record, and write thread and process into its first 8 bytes. A program at a
        frequent call clears the rest only if it has something to record."""
        if clear:
            self.clear(0, self._size)
        self.move(_EVENT, 1)
        self.call(_PID_TGID)
        self.store(8, FRAME, -self._size, 0)

    def clear(self, at: int, end: int) -> None:
        """Clear this part of the record."""
        for place in range(at, end, 8):
            self.store_value(8, FRAME, place - self._size, 0)

    def write_name(self, at: int) -> None:
        """Write the name of the thread into the record: ``NAME_LENGTH`` bytes."""
        self._point(1, at)
        self.set(2, NAME_LENGTH)
        self.call(_NAME)

    def write_time(self, at: int) -> None:
        """Write the time in ns into the record, by CLOCK_MONOTONIC."""
        self.call(_TIME)
        self.store(8, FRAME, at - self._size, 0)

    def write_number(self, at: int, value: int) -> None:
        """Write a number of 8 bytes into the record."""
        self.store_value(8, FRAME, at - self._size, value)

    def write_error(self, at: int) -> None:
        """Write the error of the last reading into the record."""
        self.store(4, FRAME, at - self._size, 0)

    def read(self, argument: int, to: int, length: int, *, text: bool = False) -> None:
        """Copy what an argument points to into the record; a text up to its end. Register 0 has the
        error, if there is one."""
        self.load(8, 3, _EVENT, argument)
        self._read(to, length, text=text)

    def read_path_of_socket(self, argument: int, to: int, length: int) -> None:
        """Copy the path of an address into the record; end unless it is a local socket's."""
        self.read(argument, to, 2)
        self.load(2, 2, FRAME, to - self._size)
        self.jump_if(2, "!=", socket.AF_UNIX, "end")
        self.load(8, 3, _EVENT, argument)
        self.change(3, "+", 2)  # sun_path
        self._read(to, length, text=True)

    def follow(self, pointer: int, to: int, length: int) -> None:
        """Copy the text that a pointer in the record points to into the record."""
        self.load(8, 3, FRAME, pointer - self._size)
        self._read(to, length, text=True)

    def _read(self, to: int, length: int, *, text: bool) -> None:
        self._point(1, to)
        self.set(2, length)
        self.call(_READ_USER_TEXT if text else _READ_USER)

    def end_unless_begins(self, at: int, prefix: bytes) -> None:
        """End unless the record has these bytes, 8 at most, at this place."""
        unused = 8 * (8 - len(prefix))
        self.load(8, 2, FRAME, at - self._size)
        self.change(2, "<<", unused)
        self.set_wide(3, int.from_bytes(prefix, "little") << unused)
        self.jump_unless_equal(2, 3, "end")

    def end_unless_may_begin(self, at: int, prefix: bytes) -> None:
        """Like ``end_unless_begins``, but only if the 8 bytes could be read: a shorter text can end
        at the end of a page."""
        self.jump_if(0, "!=", 0, "may begin")
        self.end_unless_begins(at, prefix)
        self.label("may begin")

    def end_unless_over_or_at_most(self, at: int, last: bytes, begin: int, whole: bytes) -> None:
        """End unless the text of the record is over at this place, or goes on with a slash and with
        a byte that is this one or a lower one; or unless the text, from its ``begin``, is
        ``whole``."""
        self.load(1, 2, FRAME, at - self._size)
        self.jump_if(2, "==", 0, "over")
        self.jump_if(2, "!=", ord("/"), "end")
        self.load(1, 2, FRAME, at + 1 - self._size)
        self.jump_if(2, ">", ord(last), "other")
        self.jump("over")
        self.label("other")
        for part in range(0, len(whole), 8):  # the kernel reads no word of its stack askew
            self.end_unless_begins(begin + part, whole[part : part + 8])
        self.label("over")

    def end_unless_lacks(self, argument: int, flag: int) -> None:
        """End if an argument has this flag."""
        self.load(8, 2, _EVENT, argument)
        self.change(2, "&", flag)
        self.jump_if(2, "!=", 0, "end")

    def end_unless_followed(self, followed: Followed | None) -> None:
        """End unless the thread at the start of the record is followed, if it is known which are. A
        number beyond the table counts as followed: pid_max may have been raised since."""
        if followed is None:
            return
        self.load(4, _THREAD, FRAME, -self._size)
        self.find_thread(_THREAD, followed.table, -self._size - 8, size=1, unknown="followed")
        self.load(1, 2, 0, 0)
        self.jump_if(2, "==", 0, "end")
        self.label("followed")

    def follow_thread(self, table: int, number: int) -> None:
        """Follow a thread. ``number``: the offset of its number in the event."""
        self.load(4, _THREAD, _EVENT, number)
        self.find_thread(_THREAD, table, -self._size - 8, size=1, unknown="end")
        self.store_value(1, 0, 0, 1)

    def push(self, maps: Maps) -> bytes:
        """Put the record into the queue, or count it as lost if the queue is full; the end of a
        program, whose code it returns."""
        self._pass(maps.queue)
        self.set(3, 0)
        self.call(_MAP_PUSH)
        self.jump_if(0, "==", 0, "end")
        self._pass(maps.lost)
        self.call(MAP_LOOKUP)
        self.jump_if(0, "==", 0, "first loss")
        self.count()
        self.jump("end")
        self.label("first loss")
        # The record is lost: its place behind thread and process is free for the count.
        self.write_number(8, 1)
        self._pass(maps.lost)
        self._point(3, 8)
        self.set(4, 0)
        self.call(_MAP_UPDATE)
        return self.finish()

    def _point(self, register: int, at: int) -> None:
        self.point(register, FRAME, at - self._size)

    def _pass(self, table: int) -> None:
        """The first two arguments of a call: a map, and the record."""
        self.map(1, table)
        self._point(2, 0)
