"""The trace instances of a run, and the reasons why this machine has none.

Two hold the checks. The retry tracer gets another one, for refused checks. If programs that are not
followed can enter containers, a small one records every start of such a program.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from capadvise.kernel import procfs
from capadvise.kernel.background import Background
from capadvise.kernel.process_tree import seen_below
from capadvise.kernel.sudo import with_sudo
from capadvise.model.caps import SYS_ADMIN, Cap, CapSet
from capadvise.model.errors import CannotObserve, CapadviseError
from capadvise.observe.ftrace import probes, ringbuffer, tracefs
from capadvise.observe.ftrace.pointers import Pointers
from capadvise.observe.ftrace.probes import Observer
from capadvise.observe.ftrace.removal import BUSY, remove_instances, remove_probes
from capadvise.observe.ftrace.self_check import Canary, Writers

if TYPE_CHECKING:
    from capadvise.model.recording import Lost
    from capadvise.observe.ftrace.check_events import Page, Types

EXEC_EVENT, FORK_EVENT = "sched:sched_process_exec", "sched:sched_process_fork"
_TREE = (FORK_EVENT, EXEC_EVENT, "sched:sched_process_exit")
_WITHIN = "capable_ns"
"""The field of the tracepoint with the user namespace of the checked task; probes lack it."""
QUIET_KB, FLOOD_KB, DENIED_KB, EXEC_WATCH_KB = SIZES_KB = (4096, 4096, 64, 64)
"""Buffer sizes per CPU, where there are few (``tracefs.size_of_each``): all that a recording can
have. The quiet one takes about 20,000 checks between two rounds of reading."""
SETPCAP = Cap.parse("SETPCAP")
_DYING = 2.0
"""Seconds in which a process that was killed has closed its files."""


def require(root: Callable[[], Path] = tracefs.find) -> Path:
    """The tracefs root, or CannotObserve with what is missing and how to get it."""
    require_place()
    folder = root()
    observer(folder)
    return folder


def require_place() -> None:
    """The part of ``require`` that needs no capability: we may have given up ours, and the programs
    that we start get them again."""
    if os.geteuid() != 0:
        raise CannotObserve("seeing capability checks needs root", hint=with_sudo())
    if os.stat("/proc/self/ns/pid").st_ino != procfs.INITIAL_PID_NAMESPACE:
        raise CannotObserve(
            "this is inside a pid namespace (a container?), where processes in the kernel's "
            "trace cannot be identified",
            hint="run capadvise on the host, or start the container with --pid=host --privileged",
        )


def observer(root: Path) -> Observer:
    """The observer of checks on this machine. Raises CannotObserve if there is none."""
    return probes.choose(root, os.environ.get(probes.FORCE))


class PageReader(Protocol):
    """Takes the pages of the buffers."""

    @property
    def unmatched(self) -> int:
        """Refusals whose check was not seen."""

    @property
    def canaries(self) -> Mapping[int, int]:
        """How many canaries arrived, by capability."""

    def feed(self, before: Iterable[Page], flood: Iterable[Page], after: Iterable[Page]) -> bool:
        """Take the pages; False if there was too much for one round."""


class Buffers:
    """Private trace buffers: CAP_SYS_ADMIN, checked at every mmap, never pushes out the rest."""

    def __init__(
        self, root: Path, *, missing: CapSet, closable: Iterable[str] = (), exec_watch: str = ""
    ) -> None:
        """``missing``: what the target cannot have. ``closable``: calls that its seccomp filter may
        refuse; their entries are recorded, too. ``exec_watch``: the name of a program of
        which every start and every fork on this machine is recorded."""
        self.root = root
        self.source = probes.source(observer(root))
        stem = f"{tracefs.PREFIX}{procfs.mark()}"
        self.names = (f"{stem}-quiet", f"{stem}-flood")
        self.folders = [str(root / "instances" / name) for name in self.names]
        self.probes = self.source.probes
        self._missing = missing
        self._closable = frozenset(closable)
        self._making: list[Background[None]] = []
        self._opened: list[tracefs.Instance] = []
        self._denied = ""
        self.pointers = Pointers()
        self._watched_program, self._exec_watch_name = exec_watch, f"{stem}-execs"
        if exec_watch:
            self.folders.append(str(root / "instances" / self._exec_watch_name))
        self._missed_before = 0
        self._reader: PageReader | None = None
        self._writers = Writers((), ())
        self._stopped = False

    def begin(self) -> None:
        """Begin to make them in threads; there is other work to do before ``open``. To give an
        instance its size, the kernel waits for all processors: 15 ms for each instance, one after
        the other."""
        self._canary = Canary()
        denied = [self._make_denied] if self._denied else []
        for make in (self._make_quiet, self._make_flood, *denied):
            self._making.append(Background(make))

    def open(self, pids: Callable[[], list[int]]) -> None:
        """Begin to record. ``pids`` gives the threads to follow; without any, an instance would
        record the whole machine. It is called last, so that all is enabled while the target is
        still being started."""
        if not self._making:
            self.begin()
        from capadvise.kernel import syscalls
        from capadvise.observe.ftrace.call_events import CallEvents

        for making in self._making:
            making.result()
        scans, refusable = not self.pointers.tells_scans, syscalls.refusable(self._missing)
        self._calls = CallEvents(self.quiet, self._closable, refusable, scans=scans)
        self.pointers.clock = self.quiet.now
        self._probe()
        self.flood.filter(self.source.check, f"cap == {int(SYS_ADMIN)}")
        tracefs.write(self.flood.folder / "options" / "stacktrace", "1")
        self.flood.enable([self.source.check])
        self._record_quiet()
        self._record_denied()

        def followed() -> list[int]:
            return self.pointers.following(pids())

        def followed_and_canary() -> list[int]:  # one write: for each, all processors are awaited
            return [self._canary.thread, *followed()]

        for instance in self._opened:
            refused = instance.folder.name == self._denied
            instance.follow(followed if refused else followed_and_canary)
            instance.record()
        self._writers = self._watch_writers()
        self.exec_watch = self._open_exec_watch() if self._watched_program else None

    def _watch_writers(self) -> Writers:
        """From now on, only ``follow`` and ``ignore`` write to the files of the instances."""
        quiet, flood = (instance.folder for instance in (self.quiet, self.flood))
        processors = [f"per_cpu/{name}" for name in os.listdir(quiet / "per_cpu")]
        folders = [
            f"{folder}/{name}"
            for folder in (quiet, flood)
            for name in ("", "events", "options", *processors)
        ]
        settings = () if self.source.observer is Observer.TRACEPOINT else probes.SETTINGS
        events = [self.quiet.event(name) for name in (self.source.check, *_TREE)]
        return Writers(
            [*folders, *settings], map(str, [*events, self.flood.event(self.source.check)])
        )

    def _make_quiet(self) -> None:
        self.quiet = self._instance(self.names[0], QUIET_KB)

    def _make_flood(self) -> None:
        self.flood = self._instance(self.names[1], FLOOD_KB)

    def _make_denied(self) -> None:
        self._refused = self._instance(self._denied, DENIED_KB)
        tracefs.write(self._refused.folder / "trace_clock", "mono")

    def _instance(self, name: str, size: int) -> tracefs.Instance:
        instance = tracefs.Instance(self.root, name, buffer_kb=size)
        self._opened.append(instance)
        return instance

    def _probe(self) -> None:
        """Make the probes, the return probe first; see ``probes``."""
        for attempt in range(5):
            try:
                if self.source.returned:
                    probes.define_returned(self.root)
                    self.quiet.filter(self.source.returned, "ret != 0")
                    self.quiet.enable([self.source.returned])
                break
            except CannotObserve:
                # Another run, at its end, removed it before we could take hold of it.
                if attempt == 4:
                    raise
        probes.define(self.root, self.source)
        self._missed_before = probes.missed(self.root, self.source)

    def _record_quiet(self) -> None:
        instance, source = self.quiet, self.source
        instance.filter(source.check, f"cap != {int(SYS_ADMIN)}")
        instance.stacks(source.check, f"cap != {int(SYS_ADMIN)}")
        instance.enable([source.check, *_TREE, *self._calls.names])

    @cached_property
    def types(self) -> Types:
        """How to read the events; first used when the target runs."""
        from capadvise.observe.ftrace.check_events import Types

        instance, source = self.quiet, self.source
        check, fork, execs = (instance.format(name) for name in (source.check, *_TREE[:2]))
        returned = instance.format(source.returned) if source.returned else check
        return Types(
            check=check.id,
            check_fields=check.unpacker(*source.fields),
            within_fields=check.unpacker(_WITHIN) if _WITHIN in check.fields else None,
            returned=returned.id if source.returned else None,
            return_fields=returned.unpacker(*(("sp", "ret") if source.returned else ())),
            stack=tracefs.format_of(self.root / "events/ftrace/kernel_stack").id,
            fork=fork.id,
            fork_fields=fork.unpacker("parent_pid", "child_pid"),
            exec=execs.id,
            exec_filename=execs.fields["filename"].offset,
            exit=tracefs.event_id(instance.event(_TREE[2])),
            enters=self._calls.enters,
            exits=self._calls.exits,
            sigsys=self._calls.sigsys,
            scan=self._calls.scan,
            canary=self._canary.thread,
        )

    def denied(self) -> dict[str, Any]:
        """Plan a further buffer for the retry tracer, with refused checks alone; returns its folder
        and events. CAP_SYS_ADMIN is left out: it is refused at every mmap."""
        self._denied = self.names[0].removesuffix("quiet") + "denied"
        self.folders.append(str(self.root / "instances" / self._denied))
        return {
            "folder": self.folders[-1],
            "check": self.source.check,
            "returned": self.source.returned,
        }

    def _record_denied(self) -> None:
        if not self._denied:
            return
        instance = self._refused
        quiet = f"cap != {int(SYS_ADMIN)}"
        if self.source.returned:
            instance.filter(self.source.returned, "ret != 0")
            instance.enable([self.source.returned])
        else:
            quiet += " && ret != 0"
        instance.filter(self.source.check, quiet)
        instance.enable([self.source.check])

    @property
    def observer(self) -> str:
        """The name of the observer."""
        return str(self.source.observer)

    def check_itself(self) -> None:
        """Make checks that must be recorded; ``lost`` says after ``stop`` if they were."""
        self._canary.sing()

    def stop(self) -> None:
        """Stop recording."""
        self.check_itself()
        self._writers.close()
        self._stopped = True
        self.quiet.stop()
        self.flood.stop()

    def _open_exec_watch(self) -> tracefs.Instance:
        instance = self._instance(self._exec_watch_name, EXEC_WATCH_KB)
        instance.filter(EXEC_EVENT, f'filename ~ "*{self._watched_program}*"')
        instance.filter(FORK_EVENT, f'parent_comm == "{self._watched_program}"')
        instance.enable([EXEC_EVENT, FORK_EVENT])
        instance.record()
        return instance

    def newly_executed(self) -> set[int]:
        """The processes that have started such a program, or were forked by one."""
        if self.exec_watch is None:
            return set()
        from capadvise.observe.ftrace.check_events import EXEC

        kinds = {self.types.exec: EXEC, self.types.fork: self.types.fork_fields}
        return {
            kinds[kind].unpack_from(event)[-1]
            for _, page in self.exec_watch.pages()
            if page
            for _, kind, _, event in ringbuffer.events(page)
            if kind in kinds
        }

    def follow(self, pids: Iterable[int]) -> None:
        """Follow these threads too."""
        more = self.pointers.following(list(pids))
        with self._writers.following():
            self.quiet.follow(lambda: more)
            self.flood.follow(lambda: more)

    def ignore(self, pid: int) -> None:
        """Stop following a process, its descendants so far, and all that they will fork."""

        def threads() -> list[int]:
            return [thread for one in (pid, *seen_below(pid)) for thread in procfs.threads(one)]

        with self._writers.following():
            for instance in (self.quiet, self.flood):
                instance.ignore(threads)

    def now(self) -> int:
        """The time in ns, by the clock of the events."""
        return self.quiet.now()

    def drain(self, reader: PageReader) -> bool:
        """Read the buffers; False if there was too much for one round."""
        self.number_calls()
        self._reader = reader
        return reader.feed(self.quiet.pages(), self.flood.pages(), self.quiet.pages())

    def keep(self) -> None:
        """Take out the pages before there is a reader: see ``tracefs.Instance.keep``."""
        self.quiet.keep()
        self.flood.keep()

    def number_calls(self) -> None:
        """Complete ``types``, before the first events are read."""
        self._calls.number()

    def wake_at_once(self) -> list[int]:
        """Descriptors for ``select``, which returns with the first event."""
        return [*self.quiet.wake_at_once(), *self.flood.wake_at_once()]

    def lost(self) -> Lost:
        """Checks that the kernel could not keep or probe, refusals whose check was not seen, and
        the reasons why others may not have been recorded."""
        from capadvise.model.recording import Lost  # start-up does without

        missed = probes.missed(self.root, self.source) - self._missed_before
        signal, sys_admin = self.quiet.lost() + missed, self.flood.lost()
        gaps = [*self._writers.look()]
        if self._stopped and not (signal or sys_admin) and self._canary_missed():
            gaps.append("a check made on purpose did not arrive")
        unmatched = self._reader.unmatched if self._reader else 0
        return Lost(signal=signal + unmatched, sys_admin=sys_admin, gaps=tuple(gaps))

    def _canary_missed(self) -> bool:
        seen = self._reader.canaries if self._reader else {}
        return any(seen.get(cap, 0) < self._canary.made for cap in (SETPCAP, SYS_ADMIN))

    def close(self) -> None:
        """Close them. The guardian removes them afterwards: that takes longer than a short run, and
        nobody needs to wait for it."""
        for making in self._making:
            making.wait()  # what it makes is to be removed, too
        if self._making:
            self._canary.end()
        self._writers.close()
        for instance in self._opened:
            instance.close()
        self.pointers.close()

    def remove(self, patience: float = BUSY) -> None:
        """Remove them if there is no guardian to do it. ``patience``: seconds for each that is
        busy."""
        remove_instances(self.folders, patience)
        remove_probes(str(self.root), self.source.probes)


def remove_left_by_killed() -> None:
    """Remove the instances of ours that were killed together with their guardians; those that
    their processes still hold while they die, a moment later."""
    with contextlib.suppress(CapadviseError, OSError):
        root = tracefs.find()
        end = time.monotonic() + _DYING
        while procfs.abandoned(root / "instances", tracefs.PREFIX):
            remove_leftovers(root)
            if time.monotonic() > end:
                break
            time.sleep(0.02)


def remove_leftovers(root: Path) -> None:
    """Remove what runs left whose supervisor and guardian were killed at the same moment."""
    folders = procfs.abandoned(root / "instances", tracefs.PREFIX)
    remove_instances(map(str, folders), patience=0)
    probes.remove_leftovers(root)
