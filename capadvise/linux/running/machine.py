"""Watching the whole machine: new findings as they come, counts when they are asked for."""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

from capadvise.catalog import Catalog
from capadvise.catalog.syscalls import AUDIT_ARCHS, MACHINES
from capadvise.errors import CannotObserve
from capadvise.linux.ftrace.denials import KINDS, MachineRefusals
from capadvise.linux.ftrace.instances import require_place
from capadvise.linux.ftrace.kallsyms import Symbols
from capadvise.linux.kernel import own_caps
from capadvise.linux.running.owners import Owners
from capadvise.linux.running.watched_calls import CallReader
from capadvise.watched import WatchFinding, WatchFindings, empty_context, judged

_TOGETHER = 0.02
"""Seconds after the first check in which the others of its call have come, too."""
_AT_ONCE = 256
"""So many new kinds are read in one round: a program that makes more is not worth more of our
time."""
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

    def __init__(self, catalog: Catalog) -> None:
        """Raises CannotObserve."""
        require_place("watch")
        table = AUDIT_ARCHS.get(MACHINES.get(os.uname().machine, 0))
        if table is None:
            raise CannotObserve(f"the system calls of {os.uname().machine} are not known")
        numbers, names = catalog.syscalls.numbers[table], catalog.syscalls.names[table]
        self._catalog, self._context = catalog, empty_context(catalog)
        self.findings = WatchFindings()
        self._counted: OrderedDict[bytes, _Counted] = OrderedDict()
        self._reader = CallReader(Symbols.load(), names, Owners())
        self._denials = MachineRefusals(numbers)
        self._began = time.monotonic()
        own_caps.keep(KEPT_CAPS)

    @property
    def fd(self) -> int:
        """Readable when there is news."""
        return self._denials.fd

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self._began

    @property
    def dropped(self) -> int:
        """How many new kinds of refusals could not be read."""
        return self._denials.dropped()

    def news(self) -> Iterator[WatchFinding]:
        """The findings that are new."""
        time.sleep(_TOGETHER)
        for call, keys in self._reader.calls(self._denials.read(_AT_ONCE)):
            finding, new = self.findings.add(judged(call, self._catalog, self._context))
            finding.count += 1
            self._counted[keys[-1]] = _Counted(finding)
            self._counted.move_to_end(keys[-1])
            if len(self._counted) > 2 * KINDS:
                self._counted.popitem(last=False)
            if new:
                yield finding

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
