"""Watching the machine until the time is up or a signal comes."""

from __future__ import annotations

import select
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from capadvise.catalog import Catalog
from capadvise.gate.baseline import Baseline
from capadvise.judgement.watched import Owner, OwnerKind, WatchFinding
from capadvise.kernel.own_streams import replace_dead_streams
from capadvise.model.errors import BadInput
from capadvise.observe.supervise.guardian_client import Signals
from capadvise.targets.running.machine import MachineWatch
from capadvise.workflow.notice import notice
from capadvise.workflow.protocols import OpenWatch

_COUNTED = 15.0
"""Seconds between two looks at the kernel's counts, where somebody reads them."""
_PAUSE = 0.1
"""Seconds between two rounds of reading: what is refused meanwhile is counted in the kernel."""


@dataclass
class Reporter:
    """Who is told. Each is called with what the watch knows then."""

    begun: Callable[[MachineWatch], None]
    new: Callable[[WatchFinding], None]
    summary: Callable[[MachineWatch], None]
    counted: Callable[[MachineWatch], None] | None = None
    """Can raise BadInput."""


def watch(
    catalog: Catalog,
    reporter: Reporter,
    seconds: float | None,
    *,
    every_call: bool = False,
    log: bool = False,
) -> None:
    """Tell of each new finding; of all at the end, and whenever SIGHUP comes. ``log``: begin with
    what the audit log tells. Raises CannotObserve."""
    machine = MachineWatch(catalog, every_call=every_call, log=log)
    signals = Signals()
    signals.listen()
    try:
        reporter.begun(machine)
        for finding in machine.past():
            reporter.new(finding)
        _loop(machine, reporter, seconds, signals)
        machine.count()
        reporter.summary(machine)
        _tell_counts(machine, reporter)
    finally:
        signals.restore()
        machine.close()


def watch_on_screen(
    catalog: Catalog,
    reporter: Reporter,
    seconds: float | None,
    *,
    every_call: bool,
    log: bool,
    open_watch: OpenWatch,
    note: Callable[[WatchFinding], str | None],
    everything: bool,
) -> None:
    """The same with the TUI, which shows what is new; the summary comes when the user leaves.
    Raises CannotObserve."""
    machine = MachineWatch(catalog, every_call=every_call, log=log)
    try:
        for _ in machine.past():
            pass

        def counted() -> None:
            with suppress(BadInput):  # there is a screen; said at the end, if it lasts
                _tell_counts(machine, reporter)

        open_watch(machine, seconds, note, counted, everything=everything)
        replace_dead_streams()  # where it is gone
        for _ in machine.news(all_=True):
            pass
        machine.count()
        reporter.summary(machine)
        _tell_counts(machine, reporter)
    finally:
        machine.close()


def _loop(
    machine: MachineWatch, reporter: Reporter, seconds: float | None, signals: Signals
) -> None:
    end = None if seconds is None else time.monotonic() + seconds
    counted = time.monotonic()
    while not _is_told_to_end(signals, machine, reporter):
        now = time.monotonic()
        if end is not None and now >= end:
            break
        waits = (_COUNTED, end - now if end is not None else None, machine.patience)
        wait = min(seconds for seconds in waits if seconds is not None)
        ready, _, _ = select.select([*machine.fds, signals.fd], [], [], wait)
        if set(machine.fds).intersection(ready) or machine.patience == 0:
            for finding in machine.news():
                reporter.new(finding)
            select.select([signals.fd], [], [], _PAUSE)
        if reporter.counted is not None and time.monotonic() - counted >= _COUNTED:
            counted = time.monotonic()
            machine.count()
            try:
                _tell_counts(machine, reporter)
            except BadInput as error:  # as of a full disk: what was found is not lost to that
                notice(str(error))
    for finding in machine.news(all_=True):
        reporter.new(finding)


def _tell_counts(machine: MachineWatch, reporter: Reporter) -> None:
    """Raises BadInput where they cannot be written."""
    if reporter.counted is not None:
        reporter.counted(machine)


def _is_told_to_end(signals: Signals, machine: MachineWatch, reporter: Reporter) -> bool:
    """By a signal, or by the loss of its terminal. SIGHUP from a process wants a summary."""
    told = [number for number, _ in signals.received()]
    if signals.hung_up:
        replace_dead_streams()
        return True
    if any(number != signal.SIGHUP for number in told):
        return True
    if told:
        machine.count()
        reporter.summary(machine)
    return False


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
            names.append(owner.name.removesuffix(".service"))  # no other kind is recorded
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
