"""A traced run, up to the target's exec and after its end: guardian, signals, trace buffers."""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from capadvise.kernel import own_caps, procfs
from capadvise.kernel.background import Background
from capadvise.kernel.odd_start import former_limits
from capadvise.kernel.own_streams import leads_without_terminal
from capadvise.kernel.process_tree import OwnCgroup, remove_containers
from capadvise.model.caps import Cap, CapSet
from capadvise.model.errors import CannotStart
from capadvise.observe.ftrace.instances import Buffers, remove_leftovers, require
from capadvise.observe.supervise.command import Command, resolve
from capadvise.observe.supervise.guardian_client import (
    MORE_PROCESSES,
    GuardianLost,
    GuardianProcess,
    Signals,
)

if TYPE_CHECKING:
    from capadvise.observe.ftrace.kallsyms import Reading, Symbols
    from capadvise.observe.retry.client import Listener

_ROUND = 0.002
"""Seconds between two looks into the buffers while the target runs and their reader is loaded."""
_TURN = 0.0002
"""Seconds after which a thread lets another one run. With Python's default of 5 ms, the thread that
makes the buffers would wait so long after each system call."""


@dataclass(frozen=True, slots=True)
class Tracing:
    """The scope of the trace."""

    missing: CapSet | None = None
    """Capabilities that the target cannot have; None: those that we lack, or that the command must
    not have."""
    closable: Iterable[str] = ()
    exec_watch: str = ""
    """See ``instances.Buffers``."""
    also: Callable[[], list[int]] = list
    """Threads that are followed in addition to the target."""
    table: Reading | None = None
    """The kernel's symbols, if their reading has begun."""
    containers: bool = False
    """Tell which container each shim keeps."""
    sockets: bool = False
    """Tell which local sockets are connected to."""


@dataclass(frozen=True, slots=True)
class Trace:
    """The running trace: buffers that record, and the kernel's symbols."""

    buffers: Buffers
    symbols: Symbols
    table: Reading
    """The reader of the symbols: its process is to be reaped."""


@dataclass(frozen=True, slots=True)
class Session:
    """A target is held before its exec, while the buffers are being made."""

    guardian: GuardianProcess
    signals: Signals
    buffers: Buffers | None
    """None if only retries show needs."""
    made: Background[Trace | None]
    """See ``trace``."""
    held: int
    """The pid of the target; 0 where none was started."""
    listener: Listener | None
    meanwhile: Callable[[], object]

    def release(self, loading: Callable[[], object] = lambda: None) -> float:
        """Let the target exec, and load the modules that follow it. Returns the time of its
        release, by the monotonic clock. Raises CannotStart. If the guardian is gone before its
        report, the target most likely ended it, and runs: its subject sees that."""
        self.made.result()
        released = time.monotonic()
        self.guardian.send("go")
        loaded = Background(loading)
        while not loaded.ended:
            if self.buffers:
                self.buffers.keep()
            loaded.wait(_ROUND)
        loaded.result()
        self.work_meanwhile()
        with suppress(GuardianLost):
            _wait_for(self.guardian, "started")
        return released

    def work_meanwhile(self) -> None:
        """Begin with the work for the time after the recording. Not earlier: the target would wait
        for it."""
        Background(self._work)

    def _work(self) -> None:
        own_caps.keep()  # the target may run before our end of this
        if self.trace:
            self.trace.table.reap()
        self.meanwhile()

    @property
    def trace(self) -> Trace | None:
        """Wait until the buffers record; None if only retries show needs."""
        return self.made.result()

    def traced(self) -> Trace:
        """The trace, for a caller that always traces."""
        assert self.trace is not None
        return self.trace


@contextmanager
def session(
    command: Command | None,
    *,
    user: dict[str, Any] | None = None,
    tracing: Tracing | None,
    listener: Listener | None = None,
    sweep: Sequence[list[list[str]]] = (),
    own_group: Callable[[], OwnCgroup | None] = lambda: None,
    meanwhile: Callable[[], object] = lambda: None,
) -> Iterator[Session]:
    """Start and hold a command; when the block ends, nothing of it is left. Without a command,
    nothing is started, and the threads of ``tracing.also`` go on as before.

    ``tracing``: None if the kernel is not traced. ``listener``: reads from the retry tracer.
    ``sweep``: pairs of commands by which the guardian removes containers, unless it gets
    ``"left"``. ``own_group`` makes the target's control group. ``meanwhile`` is called in a
    thread of its own when the target runs. Raises CannotObserve or CannotStart.
    """
    path = resolve(command.argv[0]) if command else None
    launcher = _launcher(command, user)
    buffers = _buffers(tracing, command, retried=listener is not None) if tracing else None
    fds = [int(buffers.root.name)] if buffers else []
    signals = Signals()
    retry = None
    if listener is not None and path is not None:
        fds.append(listener.write_fd)
        denied = buffers.denied() if buffers else None
        from capadvise.catalog import default  # other runs read it later

        retry = listener.plan(Path(path).name, default(), denied, alone=buffers is None)
    cgroup = own_group()  # now: without a guardian, nobody removes it if we are killed
    fds += [cgroup.parent] if cgroup else []
    guardian = _guardian(fds, command, listener, cgroup)
    sweeps = list(sweep)
    plan = _plan(command, path, user, launcher, signals, buffers, fds, sweeps, retry, cgroup)
    guardian.send(plan)
    signals.listen()
    made: Background[Trace | None] | None = None
    try:
        held = Background(lambda: _wait_for(guardian, "held"))
        made = Background(partial(_trace, buffers, tracing, guardian, held.result))
        ready = Session(guardian, signals, buffers, made, held.result(), listener, meanwhile)
        if command is None:
            ready.traced()
            ready.work_meanwhile()
        yield ready
    finally:
        if made is not None:
            made.wait()  # if something else failed, it would make buffers that nobody removes
        if listener is not None:
            listener.close()
        if buffers:
            buffers.close()
        _end(guardian, buffers, sweeps, wait=command is None or command.wait)
        signals.restore()


def _trace(
    buffers: Buffers | None,
    tracing: Tracing | None,
    guardian: GuardianProcess,
    held: Callable[[], int],
) -> Trace | None:
    """Make the buffers, and begin to read the symbols at the same time."""
    if buffers is None or tracing is None:
        return None
    turn = sys.getswitchinterval()
    sys.setswitchinterval(_TURN)
    try:
        buffers.begin()
        read = buffers.pointers.open
        guardian.hold(read(buffers.root, containers=tracing.containers, sockets=tracing.sockets))
        from capadvise.observe.ftrace.kallsyms import Reading  # while the target starts

        table = tracing.table or Reading()
        buffers.open(lambda: _followed(held(), tracing.also))
    finally:
        sys.setswitchinterval(turn)
    return Trace(buffers, table.result(), table)


def _buffers(tracing: Tracing, command: Command | None, *, retried: bool) -> Buffers:
    """The trace buffers, on a descriptor of ours: they stay if tracefs is unmounted. ``retried``:
    calls begin without capabilities, and a try that was granted one can fail."""
    missing = tracing.missing
    if retried:
        missing = everything()
    elif missing is None:  # what we lack, and what it must not have
        limit = command.caps if command else None
        held = procfs.capability_sets().bounding
        missing = everything() - (held if limit is None else held & limit)
    root = require()
    if root.parent != Path("/proc/self/fd"):
        root = Path(f"/proc/self/fd/{os.open(root, os.O_PATH | os.O_CLOEXEC)}")
    remove_leftovers(root)
    return Buffers(root, missing=missing, closable=tracing.closable, exec_watch=tracing.exec_watch)


def everything() -> CapSet:
    """All capabilities that the kernel knows."""
    return frozenset(Cap(number) for number in range(procfs.last_cap() + 1))


def _guardian(
    fds: list[int],
    command: Command | None,
    listener: Listener | None,
    cgroup: OwnCgroup | None,
) -> GuardianProcess:
    """Start it, and close here what it inherits for itself or for the target."""
    terminal = command.terminal if command else None
    guardian = GuardianProcess(fds if terminal is None else [*fds, terminal], cgroup)
    if terminal is not None:
        os.close(terminal)
    if listener is not None:
        os.close(listener.write_fd)  # our copy: the guardian has it now
    return guardian


def _plan(
    command: Command | None,
    path: str | None,
    user: dict[str, Any] | None,
    launcher: list[str] | None,
    signals: Signals,
    buffers: Buffers | None,
    fds: list[int],
    sweep: list[list[list[str]]],
    retry: dict[str, Any] | None,
    cgroup: OwnCgroup | None,
) -> dict[str, Any]:
    """The plan for the guardian; see there."""
    command = command or Command(())
    return {
        "path": path,
        "argv": list(command.argv),
        "user": user,
        "groups": sorted({*os.getgroups(), *command.groups}) if command.groups else [],
        "namespace": command.namespace,
        "caps": None if command.caps is None else sorted(command.caps),
        "no_new_privs": command.no_new_privs,
        "mask": [int(number) for number in signals.before],
        "stdout_to_stderr": command.stdout_to_stderr,
        "instances": buffers.folders if buffers else [],
        "probes": buffers.probes if buffers else [],
        "fds": fds,
        "terminal": command.terminal,
        "leads": leads_without_terminal(),
        "sweep": sweep,
        "linger": command.linger,
        "limits": former_limits(),
        "cgroup": None if cgroup is None else [cgroup.parent, cgroup.name],
        "retry": retry,
        "launcher": launcher,
    }


def _launcher(command: Command | None, user: dict[str, Any] | None) -> list[str] | None:
    """The program that changes user and capabilities, if that is needed, and the paths of its
    modules. Raises CannotStart."""
    if not user and (command is None or command.caps is None):
        return None
    from capadvise.kernel import gpl_modules  # most targets stay root's

    prctl = gpl_modules.folder_of("prctl")
    if prctl is None:
        raise CannotStart(
            gpl_modules.is_missing("prctl"), exists=False, hint=gpl_modules.how_to_install()
        )
    program = Path(__file__).with_name("launcher.py")
    return [str(program), str(program.parents[3]), str(prctl)]


def _followed(held: int, also: Callable[[], list[int]]) -> list[int]:
    return [held, *also()] if held else also()


def _wait_for(guardian: GuardianProcess, word: str) -> int:
    message = guardian.read_one()
    if "failed" in message:
        code = message["failed"]
        cause = f": {os.strerror(code)}" if code else ""
        raise CannotStart(
            f"cannot {message['step']}{cause}",
            exists=code != errno.ENOENT,
            hint=MORE_PROCESSES if code == errno.EAGAIN else None,
        )
    return int(message[word])


def _end(
    guardian: GuardianProcess, buffers: Buffers | None, sweep: list[list[list[str]]], *, wait: bool
) -> None:
    """Let the guardian do the rest, or do it in its place."""
    guardian.read()  # its end, if it came at the same moment as ours
    guardian.release()
    killed = wait and not guardian.wait()
    if guardian.ended or killed:
        guardian.kill_orphans()
        if buffers:
            buffers.remove(patience=0)  # an engine may not answer for minutes
        remove_containers([] if guardian.leaves else sweep, pause=2.0)
        if buffers:
            buffers.remove()
