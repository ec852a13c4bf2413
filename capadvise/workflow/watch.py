"""Watching the machine until the time is up or a signal comes."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from capadvise.catalog import Catalog
from capadvise.errors import BadInput
from capadvise.gate.baseline import Baseline
from capadvise.linux.running.machine import MachineWatch
from capadvise.watched import Owner, OwnerKind, WatchFinding

_COUNTED = 15.0
"""Seconds between two looks at the kernel's counts, where somebody reads them."""
_PAUSE = 0.1
"""Seconds between two rounds of reading: what is refused meanwhile is counted in the kernel."""
_ENDING = (signal.SIGINT, signal.SIGTERM)


@dataclass
class Reporter:
    """Who is told. Each is called with what the watch knows then."""

    begun: Callable[[], None]
    new: Callable[[WatchFinding], None]
    summary: Callable[[MachineWatch], None]
    counted: Callable[[MachineWatch], None] | None = None


def watch(catalog: Catalog, reporter: Reporter, seconds: float | None) -> None:
    """Tell of each new finding; of all at the end, and whenever SIGHUP comes. Raises
    CannotObserve."""
    machine = MachineWatch(catalog)
    try:
        with _signals() as (fd, received):
            reporter.begun()
            _loop(machine, reporter, seconds, fd, received)
        machine.count()
        reporter.summary(machine)
        if reporter.counted is not None:
            reporter.counted(machine)
    finally:
        machine.close()


def _loop(
    machine: MachineWatch,
    reporter: Reporter,
    seconds: float | None,
    signalled: int,
    received: list[int],
) -> None:
    end = None if seconds is None else time.monotonic() + seconds
    counted = time.monotonic()
    while not any(number in _ENDING for number in received):
        now = time.monotonic()
        if end is not None and now >= end:
            break
        wait = min(_COUNTED, end - now if end is not None else _COUNTED)
        ready, _, _ = select.select([machine.fd, signalled], [], [], wait)
        if signalled in ready:
            os.read(signalled, 4096)
        if machine.fd in ready:
            for finding in machine.news():
                reporter.new(finding)
            select.select([signalled], [], [], _PAUSE)
        if signal.SIGHUP in received:
            received.clear()
            machine.count()
            reporter.summary(machine)
        if reporter.counted is not None and time.monotonic() - counted >= _COUNTED:
            counted = time.monotonic()
            machine.count()
            reporter.counted(machine)
    for finding in machine.news():
        reporter.new(finding)


@contextmanager
def _signals() -> Iterator[tuple[int, list[int]]]:
    """A descriptor that is readable when a signal came, and the signals that came."""
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        received.append(number)

    reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    before = {number: signal.signal(number, note) for number in (*_ENDING, signal.SIGHUP)}
    waking = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    try:
        yield reading, received
    finally:
        signal.set_wakeup_fd(waking)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(reading)
        os.close(writing)


@dataclass
class Expected:
    """What reports say of each owner."""

    baseline: Baseline
    known: dict[Owner, Path | None] = field(default_factory=dict)

    @classmethod
    def read(cls, place: str, catalog: Catalog) -> Expected:
        """A folder of reports, or one. Raises BadInput for what is none."""
        expected = cls(Baseline(Path(place), catalog))
        for path in expected.baseline.paths:
            expected.baseline.report(path)
        return expected

    def note(self, finding: WatchFinding) -> str | None:
        """What the owner's report says of the capability that it lacked."""
        if not finding.caps or finding.hidden is not None:
            return None
        path = self._report_of(finding.call.owner)
        if path is None:
            return "no report of it: record it"
        proposal = self.baseline.report(path).proposal
        named = [cap for cap in finding.caps if cap in proposal.recommended]
        if named:
            return f"{path.name} says that it needs {named[0].name}: the set was not applied"
        return f"{path.name} does not know of it: new behaviour, record it again"

    def _report_of(self, owner: Owner) -> Path | None:
        if owner not in self.known:
            if len(self.known) > _OWNERS:
                self.known.clear()
            self.known[owner] = self._find(owner)
        return self.known[owner]

    def _find(self, owner: Owner) -> Path | None:
        names = [owner.name]
        if owner.kind is OwnerKind.UNIT:
            names.append(owner.name.removesuffix(".service"))
        if owner.pod:
            names.append(owner.pod.rpartition("/")[2])
        for name in names:
            try:
                path = self.baseline.find(name)
            except BadInput:  # several fit
                path = None
            if path is not None:
                return path
        return None


_OWNERS = 512
