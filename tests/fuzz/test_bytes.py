"""Bytes that were changed on their way, as AFL changes them: flipped, added to, cut, repeated."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Sequence

from hypothesis import given, settings

from capadvise.model.caps import SYS_ADMIN
from capadvise.observe.ftrace.kallsyms import Symbols
from capadvise.observe.retry.client import Listener
from capadvise.observe.tracking.tasks import OneCommand, Scope
from capadvise.observe.tracking.tracker import Tracker
from capadvise.report.dump import dump_recording
from capadvise.report.load import load_recording
from tests.fuzz.strategies import CHANGES, changed
from tests.support.recordings import CATALOG, QUIET
from tests.support.ring_pages import CHECK, EXEC, EXIT, FORK, STACK, TYPES, event, page, small

PATH = b"/bin/true\0"
EVENTS = [
    event(EXEC, 100, struct.pack("<iii", len(PATH) << 16 | 20, 100, 100) + PATH),
    event(CHECK, 100, struct.pack("<qii", 0, SYS_ADMIN, -1)),
    event(STACK, 100, struct.pack("<iiq", 1, 0, 0xFFFF)),
    event(FORK, 100, struct.pack("<ii", 100, 101)),
    event(CHECK, 101, struct.pack("<qii", 7, 0, 0)),
    event(STACK, 101, struct.pack("<iiq", 1, 0, 0xFFFE)),
    event(EXIT, 101),
]
FACT = {
    "id": 1,
    "how": "shown",
    "cap": 0,
    "program": "chown",
    "call": "fchownat",
    "detail": "a",
    "errno": "EPERM",
    "result": 0,
    "together": [2],
    "changes": False,
    "pid": 7,
    "uid": 0,
    "at": 1.5,
}
MESSAGES = b"".join(
    json.dumps(message).encode() + b"\n"
    for message in (
        {"pid": 5},
        {"started": 1.0},
        {"fact": FACT},
        {"own_set": ["bird", 3]},
        {"handed": ["capsh", 3]},
        {"looked": "capsh"},
        {"traces": "gdb"},
        {"io_uring": True},
        {"counts": [[1, 3, 1]]},
        {"refusals": [["mount", "EPERM", "mount", [21], 2]]},
    )
)


@settings(deadline=None)
@given(CHANGES)
def test_a_damaged_page_is_counted_as_far_as_it_is_read(
    changes: Sequence[tuple[str, float, int]],
) -> None:
    pages = page(1000, *(small(10, item) for item in EVENTS))
    tracker = Tracker(TYPES, Symbols(b""), OneCommand(100), 100, 0, 0)
    tracker.feed([], [], [(0, changed(pages, changes))])
    tracker.finish()
    assert len(tracker.checks(Scope(0, 100, 0))) <= len(pages)


@settings(deadline=None)
@given(CHANGES)
def test_a_damaged_message_of_the_tracer_is_said_or_harmless(
    changes: Sequence[tuple[str, float, int]],
) -> None:
    listener = Listener(every_call=False)
    try:
        os.write(listener.write_fd, changed(MESSAGES, changes))
        os.close(listener.write_fd)
        listener.read()
        listener.finish()
        recording = listener.merged(QUIET)
        listener.tallies()
        assert load_recording(dump_recording(recording, CATALOG)) == recording
    finally:
        listener.close()
