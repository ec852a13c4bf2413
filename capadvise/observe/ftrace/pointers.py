"""The readers of the memory behind pointers, which events do not show, opened together.

Without BPF or perf, or in lockdown, there are none.
"""

from __future__ import annotations

import contextlib
import resource
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from capadvise.model.caps import CapSet
    from capadvise.observe.ftrace.bpf_probe import Followed, Probe
    from capadvise.observe.ftrace.pointer_readers import (
        CapsetArguments,
        ContainerIds,
        FileSystems,
        Lookup,
        ProcLookups,
        Sockets,
    )

_READINGS = 5
_UNREAD = "some lookups in /proc could not be read ({}): needs of SYS_PTRACE can be missing"


class Pointers:
    """The readers; before ``open``, and without BPF, there is nothing to read."""

    def __init__(self) -> None:
        self.cautions: tuple[str, ...] = ()
        """Sentences about data that could not be read."""
        self._followed: Followed | None = None
        self._capset_arguments: CapsetArguments | None = None
        self._proc_lookups: ProcLookups | None = None
        self._file_systems: FileSystems | None = None
        self._container_ids: ContainerIds | None = None
        self._sockets: Sockets | None = None
        self.clock: Callable[[], int] = time.monotonic_ns
        """The clock of the events, in ns."""

    def open(self, root: Path, *, containers: bool, sockets: bool) -> list[int]:
        """Begin to read, and these two only if they are wanted; ``root`` is that of tracefs.
        Returns the descriptors of which the guardian is to hold copies: closing the last copy waits
        for the kernel."""
        try:
            with _memory_unlimited():
                self._open(root, containers=containers, sockets=sockets)
        except OSError as error:
            if self._proc_lookups is None:
                self.cautions = (_UNREAD.format(error.strerror),)
        return [fd for probe in self._probes() for fd in probe.slow_to_close]

    def _open(self, root: Path, *, containers: bool, sockets: bool) -> None:
        # Loaded now, while the kernel makes the buffers.
        from capadvise.observe.ftrace.bpf_probe import Followed
        from capadvise.observe.ftrace.pointer_readers import (
            CapsetArguments,
            ContainerIds,
            FileSystems,
            ProcLookups,
            Sockets,
        )

        self._capset_arguments = CapsetArguments(root)
        with contextlib.suppress(OSError):  # then those of all threads are read
            self._followed = Followed(root)
        self._proc_lookups = ProcLookups(root, self._followed)
        self._file_systems = FileSystems(root)
        self._container_ids = ContainerIds(root) if containers else None
        self._sockets = Sockets(root, self._followed) if sockets else None

    def _probes(self) -> list[Probe | Followed]:
        probes = (self._capset_arguments, self._proc_lookups, self._file_systems)
        others = (self._container_ids, self._sockets, self._followed)
        return [each for each in (*probes, *others) if each]

    def following(self, threads: list[int]) -> list[int]:
        """Note threads that are about to be followed, and return them."""
        if self._followed is not None:
            self._followed.add(threads)
        return threads

    def capset_asked(self, tid: int) -> CapSet | None:
        """The permitted set that a thread's oldest call of capset(2) asked for, once for each call;
        None if that could not be read."""
        return None if self._capset_arguments is None else self._capset_arguments.take(tid)

    def lookups(self) -> Iterable[Lookup]:
        """The lookups in /proc since the last call."""
        return () if self._proc_lookups is None else self._proc_lookups.take()

    @property
    def tells_scans(self) -> bool:
        """True if the lookups show which programs list all processes."""
        return self._proc_lookups is not None

    def event_time(self, lookup: Lookup) -> int:
        """The time of a lookup by the clock of the events."""
        return lookup.time + _ahead(self.clock)

    def lost_lookups(self) -> dict[int, int]:
        """How many lookups a full queue has lost since the last call, by thread; thread 0: all
        threads."""
        return {} if self._proc_lookups is None else self._proc_lookups.lost()

    def file_systems(self) -> Iterable[tuple[int, str]]:
        """(thread, type) of each file system that was to be mounted since the last call."""
        return () if self._file_systems is None else self._file_systems.take()

    def sockets(self) -> Iterable[str]:
        """The local sockets that were to be connected to since the last call."""
        return () if self._sockets is None else self._sockets.take()

    def container_of(self, pid: int) -> str | None:
        """The id of the container that a shim or conmon was started for, if it was read."""
        return None if self._container_ids is None else self._container_ids.of(pid)

    def close(self) -> None:
        """Close our copies."""
        for probe in self._probes():
            probe.close()


def _ahead(clock: Callable[[], int]) -> int:
    """By how much a clock is ahead of CLOCK_MONOTONIC: by the fastest of some readings, since an
    interruption falsifies a reading."""
    read = ((time.monotonic_ns(), clock(), time.monotonic_ns()) for _ in range(_READINGS))
    before, now, after = min(read, key=lambda times: times[2] - times[0])
    return now - (before + after) // 2


@contextlib.contextmanager
def _memory_unlimited() -> Iterator[None]:
    """Lift the limit on locked memory: before Linux 5.11, BPF's memory counts."""
    before = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    unlimited = resource.RLIM_INFINITY, resource.RLIM_INFINITY
    with contextlib.suppress(OSError, ValueError):  # it takes SYS_RESOURCE
        resource.setrlimit(resource.RLIMIT_MEMLOCK, unlimited)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, before)
