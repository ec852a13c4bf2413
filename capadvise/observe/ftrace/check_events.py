"""From the pages of all processors to checks with their answers, in order. Pure.

A kprobe at the entry of the kernel's check function shows the check; its answer comes with another
event at the return, and only refusals are recorded: a check that no refusal follows was granted.
The stack pointer pairs them, since an interrupt can make another check in the same thread before
the first one's answer.
"""

from __future__ import annotations

import errno
import os
import struct
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from operator import itemgetter
from typing import NamedTuple

from capadvise.observe.ftrace import ringbuffer

EXEC = struct.Struct("<12xii")
"""The beginning of ``sched_process_exec``: the process, and the thread's former id."""
STACK_POINTER_STEP = {"x86_64": 8, "i686": 4}.get(os.uname().machine, 0)
"""How much higher the stack pointer is after a return than at the entry: calls push on x86."""
_MOST_OPEN = 8
"""The deepest nesting of checks in a thread; older ones were answered."""


@dataclass(frozen=True, slots=True)
class Types:
    """The numbers that the running kernel gives to the events."""

    check: int
    check_fields: struct.Struct
    """Reads the namespace, the capability, [the options,] and the answer or the stack pointer."""
    returned: int | None
    return_fields: struct.Struct
    """Reads (stack pointer, answer)."""
    stack: int
    fork: int
    fork_fields: struct.Struct
    """Reads (parent, child)."""
    exec: int
    exec_filename: int
    exit: int
    enters: dict[int, str]
    exits: dict[int, str]
    """Calls. Both are filled when the first events are to be read, see ``CallEvents.number``."""
    sigsys: int
    """A seccomp filter sent a signal."""
    canary: int = 0
    """The thread whose checks only show that the trace is whole, see ``self_check.Canary``."""
    scan: int | None = None
    """A thread begins to list all processes; None where that is unknown."""
    within_fields: struct.Struct | None = None
    """Reads the user namespace in which a task had the capability, if the event has it
    (``capable_ns`` of the tracepoint)."""

    def answer(self, event: bytes) -> tuple[int, int]:
        """A return event: the stack pointer as it was at the entry, and the answer."""
        pointer, answer = self.return_fields.unpack_from(event)
        return pointer - STACK_POINTER_STEP, answer

    def asked(self, time: int, pid: int, event: bytes, stack: bytes) -> Asked:
        """A check event as a value."""
        namespace, cap, *options, last = self.check_fields.unpack_from(event)
        bits = options[0] if options else None
        within = self.within_fields.unpack_from(event)[0] if self.within_fields else 0
        if self.returned is None:
            return Asked(time, pid, namespace, cap, bits, last, 0, stack, within, event[8:])
        return Asked(time, pid, namespace, cap, bits, None, last, stack, within, event[8:])


class Asked(NamedTuple):
    """A check without its answer. A tuple, since there are so many of these."""

    time: int
    pid: int
    namespace: int
    cap: int
    options: int | None
    """Bits of CAP_OPT_*, linux/security.h; None where the observer does not tell."""
    answer: int | None
    """0 or a negative errno; None if it comes with an event of its own."""
    pointer: int
    """The stack pointer by which the answer finds it."""
    stack: bytes
    within: int = 0
    """The user namespace that the task was in; 0 where it is unknown."""
    raw: bytes = b""
    """The bytes of the event after its pid, by which a repeated check is recognised."""


Answered = tuple[Asked, int, int]
"""The check, its answer, and how often it was made and answered in this way."""


class Pairing:
    """The checks of all threads that may still be refused."""

    def __init__(self) -> None:
        self.unmatched = 0
        """Refusals whose check was never seen."""
        self._open: dict[int, list[Asked]] = {}
        self._early: dict[tuple[int, int], list[int]] = {}
        self._earlier: dict[tuple[int, int], list[int]] = {}

    def ask(self, asked: Asked) -> Iterator[Answered]:
        """Add a check; yields the checks whose answers are known now."""
        if asked.answer is not None:
            yield asked, asked.answer, 1
            return
        for refusals in (self._earlier, self._early):
            # Read before its check, which was in another CPU's buffer then.
            times = refusals.get((asked.pid, asked.pointer), [])
            if times and times[0] > asked.time:
                del times[0]
                yield asked, -errno.EPERM, 1
                return
        waiting = self._open.setdefault(asked.pid, [])
        # The stack grows downwards: checks below the new one's frame have returned.
        while waiting and waiting[-1].pointer <= asked.pointer:
            yield waiting.pop(), 0, 1
        waiting.append(asked)
        if len(waiting) > _MOST_OPEN:
            yield waiting.pop(0), 0, 1

    def refuse(self, time: int, pid: int, pointer: int, answer: int) -> Iterator[Answered]:
        """Add a refusal; yields the check that it answers."""
        waiting = self._open.get(pid, [])
        for at in reversed(range(len(waiting))):
            if waiting[at].pointer == pointer:
                yield waiting.pop(at), answer, 1
                return
        self._early.setdefault((pid, pointer), []).append(time)

    def settle(self, pid: int) -> list[Answered]:
        """The thread has done something else since: its checks were granted."""
        return [(asked, 0, 1) for asked in self._open.pop(pid, ())]

    def settle_all(self) -> list[Answered]:
        """Nothing more will come: what waits was granted."""
        return [answered for pid in list(self._open) for answered in self.settle(pid)]

    def many(self, asked: Asked, count: int) -> Iterator[Answered]:
        """Answer ``count`` equal checks of one round, whose refusals have all been read."""
        if asked.answer is not None:
            yield asked, asked.answer, count
            return
        refused = 0
        for refusals in (self._earlier, self._early):
            times = refusals.get((asked.pid, asked.pointer), [])
            taken = min(len(times), count - refused)
            del times[:taken]
            refused += taken
        if refused and refused == count - 1:
            refused = count  # the last one is being refused just now
        if refused:
            yield asked, -errno.EPERM, refused
        if refused < count:
            yield asked, 0, count - refused

    def end_of_round(self) -> None:
        """End a round of reading. Refusals that have waited for two rounds had no check."""
        self.unmatched += sum(map(len, self._earlier.values()))
        self._earlier, self._early = self._early, {}


Page = tuple[int, bytes]
"""The number of a processor, and what its buffer held; nothing where more is left."""
Event = tuple[int, int, int, bytes, bytes]
"""Time, kind, pid, the event, and of a check its stack."""
Noise = dict[tuple[bytes, bytes, int], list[int]]
"""Checks of memory accounting by (event, stack, pid): the time of the first, and how many."""

QUIET, FLOOD = 0, 1
_ALL = 1 << 64
"""Later than any event."""
_time = itemgetter(0)
"""The time of an event; called three times for each."""


class EventSorter:
    """Takes pages; returns events once no older ones can come.

    Each processor has a buffer of its own, and in a round they are read one after the other. An
    event during the round is read from one buffer, but not from another that was read before:
    a thread that changed its processor would seem to end a call that it never began. Therefore the
    quiet buffer is read once before CAP_SYS_ADMIN's and once after it: all events up to the newest
    of the first reading have been read, and the few newer ones wait for the next round. If a buffer
    held more than was read, no event is taken that is newer than the last one that was read.
    """

    def __init__(
        self,
        types: Types,
        is_overcommit: Callable[[bytes], bool],
        sighted: Callable[[bytes], object] | None = None,
    ) -> None:
        """``is_overcommit``: whether a stack is that of the check made at nearly every mmap.
        ``sighted`` is called for each exec as soon as it was read."""
        self._types, self._is_overcommit, self._sighted = types, is_overcommit, sighted
        self.begun = False
        """The target has begun: from now on, checks of memory accounting are only counted."""
        self.lossless = True
        """Nothing was overwritten in the quiet buffer, which shows where calls begin."""
        self.complete = True
        """All that was there has been read in the last round."""
        self._waiting: list[Event] = []
        self._noise: Noise = {}
        self._newest = 0
        self._unstacked: dict[tuple[int, int], tuple[int, int, bytes]] = {}

    def take(
        self, before: Iterable[Page], flood: Iterable[Page], after: Iterable[Page]
    ) -> tuple[list[Event], Noise]:
        """One round: the quiet buffer's pages, CAP_SYS_ADMIN's, and the quiet buffer's again. The
        counted checks are returned a round later, when their processes are known."""
        noise, self._noise = self._noise, {}
        self._read(QUIET, before)
        newest = max((self._newest, *map(_time, self._waiting)))
        known = min(self._read(FLOOD, flood), self._read(QUIET, after))
        self.complete = known == _ALL
        return self._until(min(newest, known)), noise

    def rest(self) -> tuple[list[Event], Noise]:
        """Nothing more will come: what is left, with checks whose stack never arrived."""
        for time, pid, event in self._unstacked.values():
            self._waiting.append((time, self._types.check, pid, event, b""))
        self._unstacked = {}
        noise, self._noise = self._noise, {}
        return self._until(_ALL), noise

    def _until(self, newest: int) -> list[Event]:
        waiting = sorted(self._waiting, key=_time)
        self._newest = max((newest, *map(_time, waiting[-1:])))
        ready = bisect_right(waiting, newest, key=_time)
        self._waiting = waiting[ready:]
        return waiting[:ready]

    def _read(self, buffer: int, pages: Iterable[Page]) -> int:
        """Until when all is known that this buffer held."""
        types, waiting, noise = self._types, self._waiting, self._noise
        check, stacked, execs, begun = types.check, types.stack, types.exec, self.begun
        is_overcommit, sighted = self._is_overcommit, self._sighted
        known, time = _ALL, 0
        last, seen = (b"", b"", 0), [0, 0]
        for cpu, page in pages:
            if not page:
                known = min(known, time)
                continue
            bare = self._unstacked.pop((buffer, cpu), None)
            if ringbuffer.missed(page):
                # With the events, the stack of the last check is gone: the next stack is another
                # one's. In the flood it is counted as lost; as an unknown place, it would look
                # like a need for CAP_SYS_ADMIN.
                if buffer == QUIET:
                    self.lossless = False
                    if bare is not None:
                        self._waiting.append((bare[0], self._types.check, bare[1], bare[2], b""))
                bare = None
            for time, kind, pid, event in ringbuffer.events(page):
                if kind == check:
                    if bare is not None:
                        waiting.append((bare[0], check, bare[1], bare[2], b""))
                    bare = (time, pid, event)
                elif kind == stacked:
                    if bare is None:
                        continue
                    began, whose, question = bare
                    bare = None
                    if whose != pid:  # another one's: its own was lost
                        waiting.append((began, check, whose, question, b""))
                        continue
                    stack = ringbuffer.stack(event)
                    asked = question[8:]
                    if stack == last[1] and asked == last[0] and pid == last[2]:
                        seen[1] += 1  # floods are of one kind: comparing is faster than looking up
                    elif begun and is_overcommit(stack):
                        last = (asked, stack, pid)
                        seen = noise.setdefault(last, [began, 0])
                        seen[1] += 1
                    else:
                        waiting.append((began, check, pid, question, stack))
                else:
                    if kind == execs and sighted is not None:
                        sighted(event)
                    waiting.append((time, kind, pid, event, b""))
            if bare is not None:
                self._unstacked[buffer, cpu] = bare
        return known
