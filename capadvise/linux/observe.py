"""Running a command and seeing every capability check that it causes.

The order of things: buffers ready, target started and held, its pid followed, then its exec.
Reading goes on until the last process of the tree is gone; what is left of the tree when the
recording ends is killed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from capadvise.caps import Cap, CapSet
from capadvise.errors import CannotStart
from capadvise.linux import procfs
from capadvise.linux.aggregate import Aggregator
from capadvise.linux.background import Background
from capadvise.linux.buffers import Buffers, remove_leftovers, require
from capadvise.linux.command import Command, name_of, resolve, user_of
from capadvise.linux.posture import Machine, own_securebits, posture_of
from capadvise.linux.supervisor import GuardianProcess, Signals
from capadvise.linux.symbols import Symbols
from capadvise.linux.watch import Watch
from capadvise.posture import Posture
from capadvise.recording import Held, Recording, Target
from capadvise.workload import Workload


@dataclass(frozen=True, slots=True)
class Observation:
    """What came of a run."""

    recording: Recording
    target: Target
    workload: Workload
    posture: Posture
    check_passed: bool | None
    """None when there was no check, or it never could be run."""
    check_said: str
    """What the check printed when it was last run."""
    credentials: tuple[tuple[str, int, int], ...]
    """(program, effective uid, effective gid) of the processes that ran when the check passed."""


def observe(command: Command, meanwhile: Callable[[], object] = lambda: None) -> Observation:
    """Run a command to its end and return what was seen.

    ``meanwhile`` is called while the kernel makes the buffers, which takes longest, for work that
    will be needed afterwards.
    Raises CannotObserve or CannotStart when nothing ran.
    """
    path = resolve(command.argv[0])
    user = user_of(command.user) if command.user else None
    root = require()
    try:
        cwd = os.getcwd()
    except OSError:  # it was removed below us
        cwd = os.environ.get("PWD", "?")
    remove_leftovers(root)
    signals = Signals()
    fds = [int(root.name)] if root.parent == Path("/proc/self/fd") else []
    guardian = GuardianProcess(fds)
    buffers = Buffers(root, missing=_missing(command.caps))
    guardian.tell(
        {
            "path": path,
            "argv": list(command.argv),
            "user": user,
            "caps": None if command.caps is None else sorted(command.caps),
            "mask": [int(number) for number in signals.before],
            "stdout_to_stderr": command.stdout_to_stderr,
            "instances": buffers.folders,
            "fds": fds,
        }
    )
    try:
        hearing = Background(lambda: _hear(guardian, "held"))
        ready = Background(lambda: buffers.open(hearing.result))
        table = Background(Symbols.load)
        meanwhile()
        symbols = table.result()
        ready.result()
        held = hearing.result()
        uid, gid = (user["uid"], user["gid"]) if user else (os.getuid(), os.getgid())
        run = Watch(
            command, guardian, signals, buffers, Aggregator(buffers.types, symbols, held, uid, gid)
        )
        target_sets = procfs.capability_sets(held)
        placed = posture_of(held, Machine.read())
        guardian.tell("go")
        _hear(guardian, "started")
        run.until_end()
    finally:
        buffers.close()
        guardian.release()
        if command.wait:
            guardian.wait()
        signals.restore()
        if guardian.ended:
            buffers.remove()
    return Observation(
        recording=run.recording(
            Held(
                bounding=target_sets.bounding,
                permitted=target_sets.permitted if user else target_sets.bounding,
                ambient=target_sets.ambient,
            )
        ),
        target=Target("command", name_of(command.argv), command.argv, cwd, f"{uid}:{gid}"),
        workload=Workload(run.kind, check=command.check),
        posture=replace(placed, securebits=own_securebits()),
        check_passed=run.check_passed,
        check_said=run.checker.said if run.checker else "",
        credentials=run.credentials,
    )


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


def _missing(limit: CapSet | None) -> CapSet:
    """What the target can be refused for want of it: what we lack, and what it is not to have."""
    held = procfs.capability_sets().bounding
    every = frozenset(Cap(number) for number in range(procfs.last_cap() + 1))
    return every - (held if limit is None else held & limit)
