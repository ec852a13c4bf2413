"""Events of two processors, whose buffers are read one after the other."""

from __future__ import annotations

import errno
import struct
from collections.abc import Sequence
from dataclasses import replace

import pytest

from capadvise.observe.ftrace.check_events import EventSorter
from capadvise.observe.ftrace.kallsyms import Symbols
from capadvise.observe.tracking.tasks import OneCommand, Scope
from capadvise.observe.tracking.tracker import Tracker
from tests.support import ring_pages
from tests.support.ring_pages import CHECK, STACK, event, page, small

ENTER, LEAVE, OTHER = 11, 12, 13
TYPES = replace(ring_pages.TYPES, enters={ENTER: "mount"}, exits={LEAVE: "mount"})
MOUNT = 0x1000
SYMBOLS = Symbols(b"0000000000001000 T path_mount\n0000000000002000 T cap_vm_enough_memory\n")
PID = 7

MORE = 0, 0
"""There is more than was read of the processor before."""
Read = Sequence[tuple[int, int]]
"""(processor, time) of what one reading shows."""


def pages(read: Read) -> list[tuple[int, bytes]]:
    return [(cpu, page(time, small(0, event(OTHER, PID))) if time else b"") for cpu, time in read]


@pytest.mark.parametrize(
    ("rounds", "taken"),
    [
        # what the second reading shows older than the newest of the first belongs before it
        ([([(0, 1), (1, 6)], [], [(0, 3), (0, 7)]), ([], [], [])], [[1, 3, 6], [7]]),
        # CAP_SYS_ADMIN's buffer is read before what followed in the other one
        ([([(0, 1)], [(1, 4)], [(0, 3), (1, 5)]), ([(0, 9)], [], [])], [[1], [3, 4, 5, 9]]),
        # what was not read to its end holds up what is newer, not what is older
        ([([(0, 9)], [], [(1, 2), (1, 5), MORE, (2, 4)])], [[2, 4, 5]]),
        ([([(0, 9)], [(0, 3), MORE, (1, 8)], []), ([], [(0, 7)], [])], [[3], [7, 8, 9]]),
        ([([(1, 5), MORE], [], [(1, 6), (1, 9)]), ([], [], [])], [[5], [6, 9]]),
        # a round that shows nothing new lets go of all that was read before
        ([([], [(0, 2), (1, 1)], []), ([], [], [])], [[], [1, 2]]),
    ],
)
def test_events_wait_until_nothing_older_can_come(
    rounds: list[tuple[Read, Read, Read]], taken: list[list[int]]
) -> None:
    order = EventSorter(TYPES, lambda stack: False)
    found = [order.take(*map(pages, reads))[0] for reads in rounds]
    assert [[time for time, *_ in events] for events in found] == taken


def question(time: int, stack: int) -> bytes:
    asked = event(CHECK, PID, struct.pack("<qii", 1, 21, 0))
    return page(time, small(0, asked), small(1, event(STACK, PID, struct.pack("<iQ", 1, stack))))


def test_checks_of_memory_accounting_are_counted_and_given_a_round_later() -> None:
    order = EventSorter(TYPES, lambda stack: True)
    order.begun = True
    flood = [(0, question(5, 0x2000)), (0, question(9, 0x2000))]
    assert order.take([], flood, []) == ([], {})
    events, noise = order.take([], [], [])
    assert not events
    assert list(noise.values()) == [[5, 2]]
    assert order.rest() == ([], {})


def enter(time: int) -> bytes:
    return page(time, small(0, event(ENTER, PID, bytes(8) + bytes(40))))


def leave(time: int, flags: int = 0) -> bytes:
    result = struct.pack("<qq", 0, -errno.EPERM)
    return page(time, small(0, event(LEAVE, PID, result)), flags=flags)


MISSED = 1 << 31


@pytest.mark.parametrize(
    ("before", "after", "entered"),
    [
        ([(0, enter(1)), (0, leave(2))], [], True),
        # the thread moved to processor 1 after processor 0 had been read
        ([(1, leave(2))], [(0, enter(1))], True),
        ([(1, leave(2))], [], False),  # a filter answered
        ([(1, leave(2, MISSED))], [], None),  # who knows
    ],
)
def test_whether_a_refused_call_had_begun(
    before: list[tuple[int, bytes]], after: list[tuple[int, bytes]], entered: bool | None
) -> None:
    tracker = Tracker(TYPES, SYMBOLS, OneCommand(PID), PID, 0, 0)
    scope = Scope(0, PID, 0)
    tracker.adopt(PID, scope)
    tracker.feed(before, [], after)
    tracker.finish()
    assert [(raw.call, raw.entered) for raw in scope.refusals] == [("mount", entered)]


def test_a_stack_that_was_overwritten_is_not_that_of_the_next_check() -> None:
    """Overrun of the quiet buffer: the stack of one check and the question of the next are gone."""
    asked = event(CHECK, PID, struct.pack("<qii", 1, 7, 0))
    stack = event(STACK, PID, struct.pack("<iQ", 1, MOUNT))
    order = EventSorter(TYPES, lambda stack: False)
    order.take([(0, page(1, small(0, asked)))], [], [(0, page(5, small(0, stack), flags=1 << 31))])
    assert [(time, kind, stack) for time, kind, _, _, stack in order.rest()[0]] == [(1, CHECK, b"")]
