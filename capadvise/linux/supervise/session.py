"""A traced run, up to the target's exec and after its end: guardian, signals, trace buffers."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from capadvise.caps import Cap, CapSet
from capadvise.errors import CannotStart
from capadvise.linux.ftrace.instances import Buffers, remove_leftovers, require
from capadvise.linux.ftrace.kallsyms import Reading, Symbols
from capadvise.linux.kernel import own_caps, procfs
from capadvise.linux.kernel.background import Background
from capadvise.linux.kernel.process_tree import remove_containers
from capadvise.linux.supervise.command import Command, resolve
from capadvise.linux.supervise.guardian_client import GuardianProcess, Signals
from capadvise.linux.supervise.null_observer import NoBuffers

if TYPE_CHECKING:
    from capadvise.linux.retry.client import Listener

_TURN = 0.0002
"""Seconds after which a thread lets another one go on. With Python's own 5 ms, what makes the
buffers would wait so long after each call of the kernel."""


@dataclass(slots=True)
class Session:
    """The buffers are ready; a target is held before its exec."""

    guardian: GuardianProcess
    signals: Signals
    buffers: Buffers | NoBuffers
    symbols: Symbols | None
    """None where nothing is traced."""
    held: int
    """The pid of the target; 0 where none was started."""
    listener: Listener | None

    def go(self) -> None:
        """Let the target exec. Raises CannotStart."""
        self.guardian.tell("go")
        _hear(self.guardian, "started")


@contextmanager
def session(
    command: Command | None,
    *,
    user: dict[str, Any] | None = None,
    missing: CapSet | None = None,
    closable: Iterable[str] = (),
    arrivals: str = "",
    also: Callable[[], list[int]] = list,
    sweep: Sequence[list[list[str]]] = (),
    listener: Listener | None = None,
    observed: bool = True,
    table: Reading | None = None,
    meanwhile: Callable[[], object] = lambda: None,
) -> Iterator[Session]:
    """Start and hold a command; when the block ends, nothing of it is left. Without a command,
    nothing is started, and what ``also`` gives goes on as it was.

    ``missing``: what the target cannot have, if not what ``command.caps`` leaves out. ``closable``
    and ``arrivals``: see ``Buffers``. ``also``: threads that are followed besides. ``sweep``: pairs
    of commands by which the guardian removes containers, unless it is told ``"left"``.
    ``listener``: hears the retry tracer; ``observed``: whether the kernel is traced, too, and
    ``table`` the kernel's symbols, if their reading has begun.
    ``meanwhile`` is called in a thread of its own; the target does not wait for it. Raises
    CannotObserve or CannotStart.
    """
    started = command is not None
    command = command or Command((), wait=True)
    path = resolve(command.argv[0]) if started else None
    lacking = _missing(command.caps) if missing is None else missing
    buffers, fds = _buffers(lacking, closable, arrivals, observed)
    signals = Signals()
    turn = sys.getswitchinterval()
    sys.setswitchinterval(_TURN)
    if observed and table is None:
        table = Reading()
    retry = None
    if listener is not None and path is not None:
        fds = [*fds, listener.write_fd]
        program = Path(path).name
        denied = buffers.denied()
        from capadvise.catalog import default

        retry = listener.plan(program, default(), denied, alone=not observed)
    terminal = command.terminal
    guardian = GuardianProcess(fds if terminal is None else [*fds, terminal])
    if terminal is not None:
        os.close(terminal)
    if listener is not None:
        listener.given_away()
    guardian.tell(
        {
            "path": path,
            "argv": list(command.argv),
            "user": user,
            "caps": None if command.caps is None else sorted(command.caps),
            "mask": [int(number) for number in signals.before],
            "stdout_to_stderr": command.stdout_to_stderr,
            "instances": buffers.folders,
            "probes": buffers.probes,
            "fds": fds,
            "terminal": terminal,
            "sweep": list(sweep),
            "retry": retry,
        }
    )
    ready: Background[None] | None = None
    try:
        hearing = Background(lambda: _hear(guardian, "held"))
        ready = Background(lambda: buffers.open(lambda: _followed(hearing.result(), also)))
        Background(lambda: _load(meanwhile))
        symbols = table.result() if observed and table is not None else None
        ready.result()
        sys.setswitchinterval(turn)
        yield Session(guardian, signals, buffers, symbols, hearing.result(), listener)
    finally:
        sys.setswitchinterval(turn)
        if ready is not None:
            ready.wait()  # where something else failed meanwhile, it would make what nobody removes
        if listener is not None:
            listener.close()
        buffers.close()
        guardian.hear()  # its end, if it came at the same moment as ours
        guardian.release()
        killed = command.wait and not guardian.wait()
        if guardian.ended or killed:
            guardian.kill_orphans()
            remove_containers([] if guardian.leaves else sweep, pause=2.0)
            buffers.remove()
        signals.restore()


def _buffers(
    missing: CapSet, closable: Iterable[str], arrivals: str, observed: bool
) -> tuple[Buffers | NoBuffers, list[int]]:
    """The trace buffers, and the descriptors that they hang on."""
    if not observed:
        return NoBuffers(), []
    root = require()
    if root.parent != Path("/proc/self/fd"):  # it stays ours, also when it is unmounted meanwhile
        root = Path(f"/proc/self/fd/{os.open(root, os.O_PATH | os.O_CLOEXEC)}")
    remove_leftovers(root)
    buffers = Buffers(root, missing=missing, closable=closable, arrivals=arrivals)
    return buffers, [int(root.name)]


def _load(meanwhile: Callable[[], object]) -> None:
    own_caps.keep()  # the target may run before this has ended
    meanwhile()


def _followed(held: int, also: Callable[[], list[int]]) -> list[int]:
    return [held, *also()] if held else also()


def _hear(guardian: GuardianProcess, word: str) -> int:
    message = guardian.hear_one()
    if "failed" in message:
        code = message["failed"]
        cause = f": {os.strerror(code)}" if code else ""
        raise CannotStart(
            f"cannot {message['step']}{cause}",
            found=code != 2,
        )
    return int(message[word])


def everything() -> CapSet:
    """All capabilities that the kernel knows."""
    return frozenset(Cap(number) for number in range(procfs.last_cap() + 1))


def _missing(limit: CapSet | None) -> CapSet:
    """What the target can be refused for want of it: what we lack, and what it is not to have."""
    held = procfs.capability_sets().bounding
    return everything() - (held if limit is None else held & limit)
