"""From the pages of all processors to events in their order, each check with its stack. Pure.

Each processor has a buffer of its own, and in a round they are read one after the other: what
happens meanwhile is read from one, and not yet from another that was read before. A thread that
changed its processor then would be seen to end a call that it never began. So the quiet buffer is
read once before CAP_SYS_ADMIN's and once after it: what is no newer than the newest of the first
reading has been read from all of them, and the little that is newer waits for the next round.
Where a buffer held more than was read, nothing is taken that is newer than what was read last.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable
from operator import itemgetter

from capadvise.observe.ftrace import ringbuffer
from capadvise.observe.ftrace.check_events import Types

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
"""Of an event; called for each, three times."""


class EventSorter:
    """Takes pages; gives events when nothing older can come."""

    def __init__(
        self,
        types: Types,
        is_overcommit: Callable[[bytes], bool],
        sighted: Callable[[bytes], object] | None = None,
    ) -> None:
        """``is_overcommit``: whether a stack is that of the check made at nearly every mmap.
        ``sighted`` is told of each exec as soon as it was read."""
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
        """One round: the quiet buffer's pages, CAP_SYS_ADMIN's, and the quiet buffer's again.
        What was only counted is given a round later, when its processes are known."""
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

    def _note_loss(self, buffer: int, bare: tuple[int, int, bytes] | None) -> None:
        """Events were overwritten, and with them the stack of the last check: the next stack is
        another one's. In the flood it is counted as lost; shown as an unknown place, it would look
        like a need for CAP_SYS_ADMIN."""
        if buffer == QUIET:
            self.lossless = False
            if bare is not None:
                self._waiting.append((bare[0], self._types.check, bare[1], bare[2], b""))

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
                self._note_loss(buffer, bare)
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
