"""Watching the whole machine: new findings as they come, counts when they are asked for."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from capadvise.catalog import Catalog
from capadvise.catalog.syscalls import AUDIT_ARCHS, MACHINES
from capadvise.judgement.watched import (
    LeastRecentlyUsed,
    Waiting,
    WatchedCall,
    WatchFinding,
    WatchFindings,
    empty_context,
    judged,
)
from capadvise.kernel import own_caps, procfs
from capadvise.model.errors import CannotObserve
from capadvise.observe.audit.denials import denials, sends_signal
from capadvise.observe.audit.live import AuditListener
from capadvise.observe.audit.logs import since_boot
from capadvise.observe.ftrace.denials import KINDS, MachineRefusals
from capadvise.observe.ftrace.instances import require_place
from capadvise.observe.ftrace.kallsyms import Symbols
from capadvise.targets.running.owners import Owners
from capadvise.targets.running.watched_calls import CallReader

_TOGETHER = 0.02
"""Seconds after the first check in which the others of its call have come, too."""
_AT_ONCE = 256
"""So many new kinds are read in one round: a program that makes more is not worth more of our
time."""
_TO_FAIL = 3.0
"""Seconds after a refused call by which a program that cannot do without it has ended."""
_TO_BE_TOLD = 0.5
"""Seconds that the audit record of a call may take: a thread of the kernel sends it."""
KEPT_CAPS = frozenset({1, 19, 39})
"""DAC_OVERRIDE to write where its caller wants the counters, SYS_PTRACE for the descriptors of
others' processes, BPF for the kernel's counts."""


@dataclass(slots=True)
class _Counted:
    """What the kernel counts under one key."""

    finding: WatchFinding
    seen: int = 1


class MachineWatch:
    """Opens what it needs at once."""

    def __init__(self, catalog: Catalog, *, every_call: bool = False, log: bool = False) -> None:
        """``every_call``: see the end of each system call, too. ``log``: read what was recorded
        before. Raises CannotObserve."""
        require_place("watch")
        table = AUDIT_ARCHS.get(MACHINES.get(os.uname().machine, 0))
        if table is None:
            raise CannotObserve(f"the system calls of {os.uname().machine} are not known")
        numbers, names = catalog.syscalls.numbers[table], catalog.syscalls.names[table]
        self._catalog, self._context = catalog, empty_context(catalog)
        self.findings = WatchFindings()
        self.last_cap = procfs.last_cap()
        # Those that the kernel still counts are looked up each time: others make room.
        self._counted = LeastRecentlyUsed[bytes, _Counted](2 * KINDS)
        self._reader = CallReader(Symbols.load(), names, Owners())
        self._denials = MachineRefusals(numbers, every_call=every_call)
        now = time.time()
        self._audit = AuditListener.open()
        self._log = since_boot(now) if log else None
        self._every_call = every_call
        self._waiting = Waiting(_AT_ONCE)
        self._began = time.monotonic()
        own_caps.keep(KEPT_CAPS)

    @property
    def fds(self) -> list[int]:
        """Readable when there is news."""
        return [self._denials.fd, *([self._audit.fd] if self._audit else [])]

    @property
    def hears_audit(self) -> bool:
        """Whether the kernel sends its audit records."""
        return self._audit is not None

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self._began

    @property
    def dropped(self) -> int:
        """How many new kinds of refusals could not be read."""
        return self._denials.dropped()

    @property
    def patience(self) -> float | None:
        """Seconds after which there can be news without anything to read; None: never."""
        due = self._waiting.due
        return None if due is None else max(0.0, due - time.monotonic())

    def news(self, *, all_: bool = False) -> Iterator[WatchFinding]:
        """The findings that are new. ``all_``: what waits for more to be known, too."""
        time.sleep(_TOGETHER)
        now = time.monotonic()
        for call, keys in self._reader.calls(self._denials.read(_AT_ONCE)):
            wait = _TO_FAIL if call.asks_for_limit else _TO_BE_TOLD if call.unexplained else 0
            if not (wait and self._waiting.add(call, keys[-1], now + wait)):
                yield from self._add(call, keys[-1])
        for call in self._audited():
            self._waiting.forget(call)
            yield from self._add(call, None)
        for call, key in self._waiting.take(None if all_ else now):
            went_on = not self._denials.failed(call.pid, call.program)
            yield from self._add(replace(call, went_on=went_on), key)

    def past(self) -> Iterator[WatchFinding]:
        """What the log tells."""
        log, self._log = self._log, None
        for call in self._reader.logged(
            denials(log.records if log else (), self._catalog.syscalls)
        ):
            yield from self._add(call, None)

    @property
    def log(self) -> str | None:
        """Where the records of before were found; None: nowhere."""
        return self._log.place if self._log else None

    def _add(self, call: WatchedCall, key: bytes | None) -> Iterator[WatchFinding]:
        """Count it; the finding, where it is new. ``key``: by which the kernel counts on."""
        finding, new = self.findings.add(judged(call, self._catalog, self._context))
        finding.count += 1
        if key is not None:
            self._counted.put(key, _Counted(finding))
        if new:
            yield finding

    def _audited(self) -> Iterator[WatchedCall]:
        """What audit records tell, and the programs do not."""
        if self._audit is None:
            return
        records = [
            record
            for record in self._audit.records(_AT_ONCE)
            if not (sends_signal(record) or (self._every_call and record.type == "SECCOMP"))
        ]
        yield from self._reader.audited(denials(records, self._catalog.syscalls))

    def count(self) -> None:
        """Ask the kernel how often each was seen."""
        for key, times in self._denials.counts():
            counted = self._counted.get(key)
            if counted is not None and times > counted.seen:
                counted.finding.count += times - counted.seen
                counted.seen = times

    def close(self) -> None:
        """End it."""
        self._denials.close()
        if self._audit is not None:
            self._audit.close()
