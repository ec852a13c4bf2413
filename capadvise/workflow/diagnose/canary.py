"""A self-check: one capability check of our own making, which the observer must see."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from capadvise.kernel import libc
from capadvise.model.caps import Cap
from capadvise.model.errors import CannotObserve
from capadvise.model.recording import Check
from capadvise.observe.ftrace.instances import Buffers
from capadvise.observe.ftrace.kallsyms import Symbols
from capadvise.observe.tracking.tasks import OneCommand, Scope
from capadvise.observe.tracking.tracker import Tracker

_NO_CAPABILITY = 255
"""The kernel asks for SETPCAP first, and then finds that there is no such capability to drop."""
_SETPCAP = Cap.parse("SETPCAP")


def fire(root: Path) -> Check:
    """Make the kernel ask for SETPCAP, and return what was seen of it.

    Raises CannotObserve where nothing was seen, or the kernel lets us see nothing.
    """
    pid = os.getpid()
    symbols = Symbols.load()
    buffers = Buffers(root, missing=frozenset())
    scope = Scope(0, pid, 0)
    try:
        buffers.open(lambda: [pid])
        tracker = Tracker(buffers.types, symbols, OneCommand(pid), pid, os.getuid(), os.getgid())
        tracker.adopt(pid, scope)
        with suppress(OSError):
            libc.drop_bounding(_NO_CAPABILITY)
        buffers.stop()
        buffers.drain(tracker)
        tracker.finish()
    finally:
        buffers.close()
        buffers.remove()
    for check in tracker.checks(scope):
        if check.cap == _SETPCAP and check.syscall == "prctl":
            return check
    raise CannotObserve(
        f"the {buffers.source.observer} missed a capability check that was made: this kernel "
        "checks in another function",
        hint="choose another observer: CAPADVISE_OBSERVER=kprobe capadvise doctor",
    )
