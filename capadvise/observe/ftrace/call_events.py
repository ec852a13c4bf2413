"""The system calls that are recorded: their events, filters and numbers in a trace instance."""

import contextlib
import os
from collections.abc import Iterable

from capadvise.kernel import syscalls
from capadvise.model.errors import CannotObserve
from capadvise.observe.ftrace import tracefs

_SIGNAL = "signal:signal_generate"
_SIGSYS = "sig == 31 && code == 1"
"""SYS_SECCOMP of siginfo.h: sent by a filter, not by kill(2)."""
_SCAN = "openat"
_SCANS = 'filename.ustring == "/proc" || filename.ustring == "/proc/"'
"""See ``Lookup.lists_processes``. Linux 5.17 can compare such texts, which slows down each open of
a file by a tenth: a BPF program is cheaper."""


class CallEvents:
    """The events, filtered and ready to be enabled: that takes a while, and can be done before
    there is a thread to follow."""

    def __init__(
        self,
        instance: tracefs.Instance,
        closable: frozenset[str],
        refusable: Iterable[str],
        *,
        scans: bool,
    ) -> None:
        """``closable``: see ``instances.Buffers``. ``refusable``: calls of which only refusals are
        recorded. ``scans``: nothing else shows which threads list processes."""
        self._instance = instance
        known = {entry.name for entry in os.scandir(instance.folder / "events" / "syscalls")}
        begun = dict.fromkeys([*syscalls.RESULTS, *syscalls.FILTERS, *sorted(closable)])
        enters = [name for name in begun if f"sys_enter_{name}" in known]
        exits = [name for name in syscalls.RESULTS if f"sys_exit_{name}" in known]
        refused = sorted(closable - set(syscalls.RESULTS) | set(refusable))
        refused = [name for name in refused if f"sys_exit_{name}" in known]
        for name, expression in syscalls.FILTERS.items():
            instance.filter(f"syscalls:sys_enter_{name}", expression)
        for name in refused:
            codes = " || ".join(f"ret == -{code}" for code in syscalls.refusing(name))
            instance.filter(f"syscalls:sys_exit_{name}", codes)
        instance.filter(_SIGNAL, _SIGSYS)
        self._begun, self._ended = enters, [*exits, *refused]
        self.enters: dict[int, str] = {}
        self.exits: dict[int, str] = {}
        self.sigsys = self._id(_SIGNAL)
        self.scan = self._filter_scans() if scans and _SCAN not in closable else None
        """The event of a thread that begins to list all processes."""

    def number(self) -> None:
        """Read the numbers of the calls' events from some hundred files: that takes a while, and
        they are needed only for the first events."""
        if not self.exits:
            self.enters |= {self._id(f"syscalls:sys_enter_{name}"): name for name in self._begun}
            self.exits |= {self._id(f"syscalls:sys_exit_{name}"): name for name in self._ended}

    @property
    def names(self) -> list[str]:
        """The events to enable."""
        scan = [_SCAN] if self.scan is not None else []
        enters = [f"syscalls:sys_enter_{name}" for name in [*self._begun, *scan]]
        return [_SIGNAL, *enters, *(f"syscalls:sys_exit_{name}" for name in self._ended)]

    def _filter_scans(self) -> int | None:
        event = f"syscalls:sys_enter_{_SCAN}"
        with contextlib.suppress(CannotObserve, OSError):  # an older kernel
            self._instance.filter(event, _SCANS)
            return self._id(event)
        return None

    def _id(self, event: str) -> int:
        return tracefs.event_id(self._instance.event(event))
