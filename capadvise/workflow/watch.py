"""Watch the machine until the time is up or a signal comes."""

from __future__ import annotations

import select
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from capadvise.catalog import Catalog
from capadvise.gate.baseline import ReportFolder
from capadvise.judgement.watched import Owner, OwnerKind, WatchFinding
from capadvise.kernel.own_streams import replace_dead_streams
from capadvise.model.errors import BadInput
from capadvise.observe.supervise.guardian_client import Signals
from capadvise.targets.running.machine import MachineWatch
from capadvise.workflow.notice import notice
from capadvise.workflow.protocols import WatchSource

_COUNT_SECONDS = 15.0
"""Between two reads of the kernel's counts, if a reporter wants them."""
_PAUSE_SECONDS = 0.1
"""Between two rounds of reading; the kernel counts refusals in that time."""


@dataclass
class Reporter:
    """Callbacks of a watch."""

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
    """Report each new finding, and a summary at the end and at each SIGHUP. ``log``: begin with the
    findings of the audit log. Raises CannotObserve."""
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
        _report_counts(machine, reporter)
    finally:
        signals.restore()
        machine.close()


def watch_on_screen(
    catalog: Catalog,
    reporter: Reporter,
    *,
    every_call: bool,
    log: bool,
    show: Callable[[WatchSource, Callable[[], None]], None],
) -> None:
    """Watch while ``show`` shows new findings, and calls back after each count; the summary follows
    when the user leaves. Raises CannotObserve."""
    machine = MachineWatch(catalog, every_call=every_call, log=log)
    try:
        for _ in machine.past():
            pass

        def counted() -> None:
            with suppress(BadInput):  # the screen is up; an error that lasts is printed at the end
                _report_counts(machine, reporter)

        show(machine, counted)
        replace_dead_streams()  # where it is gone
        for _ in machine.news(all_=True):
            pass
        machine.count()
        reporter.summary(machine)
        _report_counts(machine, reporter)
    finally:
        machine.close()


def _loop(
    machine: MachineWatch, reporter: Reporter, seconds: float | None, signals: Signals
) -> None:
    end = None if seconds is None else time.monotonic() + seconds
    counted = time.monotonic()
    while not _must_end(signals, machine, reporter):
        now = time.monotonic()
        if end is not None and now >= end:
            break
        waits = (_COUNT_SECONDS, end - now if end is not None else None, machine.patience)
        wait = min(seconds for seconds in waits if seconds is not None)
        ready, _, _ = select.select([*machine.fds, signals.fd], [], [], wait)
        if set(machine.fds).intersection(ready) or machine.patience == 0:
            for finding in machine.news():
                reporter.new(finding)
            select.select([signals.fd], [], [], _PAUSE_SECONDS)
        if reporter.counted is not None and time.monotonic() - counted >= _COUNT_SECONDS:
            counted = time.monotonic()
            machine.count()
            try:
                _report_counts(machine, reporter)
            except BadInput as error:  # a full disk must not end the watch
                notice(str(error))
    for finding in machine.news(all_=True):
        reporter.new(finding)


def _report_counts(machine: MachineWatch, reporter: Reporter) -> None:
    """Raises BadInput if they cannot be written."""
    if reporter.counted is not None:
        reporter.counted(machine)


def _must_end(signals: Signals, machine: MachineWatch, reporter: Reporter) -> bool:
    """True after a signal or the loss of the terminal. SIGHUP from a process asks for a summary."""
    numbers = [number for number, _ in signals.received()]
    if signals.hung_up:
        replace_dead_streams()
        return True
    if any(number != signal.SIGHUP for number in numbers):
        return True
    if numbers:
        machine.count()
        reporter.summary(machine)
    return False


@dataclass
class Expected:
    """The reports about owners of findings."""

    baseline: ReportFolder
    known: dict[Owner, Path | None] = field(default_factory=dict)

    @classmethod
    def read(cls, place: str, catalog: Catalog) -> Expected:
        """Read a folder of reports, or one report. Raises BadInput for a file that is none."""
        expected = cls(ReportFolder(Path(place), catalog))
        for path in expected.baseline.paths:
            expected.baseline.report(path)
        return expected

    def note(self, finding: WatchFinding) -> str | None:
        """A sentence of the owner's report about the capability that it lacked."""
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
