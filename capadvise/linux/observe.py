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
from typing import TYPE_CHECKING

from capadvise.errors import CannotObserve
from capadvise.linux import procfs, rights
from capadvise.linux.aggregate import Aggregator
from capadvise.linux.buffers import require
from capadvise.linux.command import Command, name_of, user_of
from capadvise.linux.retry.choice import listener as make_listener
from capadvise.linux.retry.choice import require_retry
from capadvise.linux.session import Session, session
from capadvise.linux.tasks import OneCommand, Scope
from capadvise.linux.unobserved import NoBuffers, NoChecks
from capadvise.linux.watch import Watch
from capadvise.recording import Held, Recording, Target
from capadvise.workload import Workload

if TYPE_CHECKING:
    from capadvise.posture import Posture


@dataclass(frozen=True, slots=True)
class Observation:
    """What came of a run."""

    recordings: tuple[Recording, ...]
    """Several where a container was started several times, or a service has several."""
    target: Target
    workload: Workload
    posture: Posture
    check_passed: bool | None
    """None when there was no check, or it never could be run."""
    check_said: str
    """What the check printed when it was last run."""
    credentials: tuple[tuple[str, int, int], ...]
    """(program, effective uid, effective gid) of the processes that ran when the check passed."""

    @property
    def recording(self) -> Recording:
        """The first."""
        return self.recordings[0]


def observe(
    command: Command,
    meanwhile: Callable[[], object] = lambda: None,
    *,
    each_round: Callable[[Watch], None] | None = None,
) -> Observation:
    """Run a command to its end and return what was seen.

    ``meanwhile`` is called while the kernel makes the buffers, which takes longest, for work that
    will be needed afterwards. ``each_round`` is called between two rounds of reading.
    Raises CannotObserve or CannotStart when nothing ran.
    """
    user = user_of(command.user) if command.user else None
    uid, gid = (user["uid"], user["gid"]) if user else (os.getuid(), os.getgid())
    cwd = working_directory()
    listener = make_listener(command.retry) if command.retry else None
    with session(
        command,
        user=user,
        listener=listener,
        observed=not command.unobserved,
        meanwhile=lambda: _preload(meanwhile),
    ) as ready:
        starts = OneCommand(ready.held)
        aggregator = _aggregator(ready, starts, uid, gid)
        run = Watch(command, ready.guardian, ready.signals, ready.buffers, aggregator, listener)
        target_sets = procfs.capability_sets(ready.held)
        from capadvise.linux.posture import posture_at_exec  # loaded meanwhile

        placed = posture_at_exec(ready.held)
        held = Held(
            bounding=target_sets.bounding,
            permitted=target_sets.permitted if user else target_sets.bounding,
            ambient=target_sets.ambient,
        )

        def so_far() -> Recording:
            return run.recording(
                starts.scope or Scope(0, ready.held, 0), held, run.status, mac=placed.mac
            )

        run.so_far = lambda: (so_far(),)
        rights.keep()
        ready.go()
        run.until_end(each_round)
    return Observation(
        recordings=(so_far(),),
        target=Target("command", name_of(command.argv), command.argv, cwd, f"{uid}:{gid}"),
        workload=Workload(run.kind, check=command.check),
        posture=placed,
        check_passed=run.check_passed,
        check_said=run.checker.said if run.checker else "",
        credentials=run.credentials,
    )


def choose(command: Command) -> tuple[Command, str | None]:
    """How to look at a command here: the command with ``retry`` and ``unobserved`` settled, and
    why retries alone are used where that was not asked for.

    Raises CannotObserve where nothing can be done.
    """
    try:
        root = require()
    except CannotObserve as error:
        try:
            require_retry()
        except CannotObserve as other:
            raise error from other
        return replace(command, retry=command.retry or "auto", unobserved=True), str(error)
    if root.parent == Path("/proc/self/fd"):
        os.close(int(root.name))
    if command.retry is not None:
        require_retry()
    return command, None


def _aggregator(ready: Session, starts: OneCommand, uid: int, gid: int) -> Aggregator | NoChecks:
    if ready.symbols is None or isinstance(ready.buffers, NoBuffers):
        return NoChecks(ready.held, ready.listener)
    retried = ready.listener is not None
    types = ready.buffers.types
    return Aggregator(types, ready.symbols, starts, ready.held, uid, gid, retried=retried)


def _preload(meanwhile: Callable[[], object]) -> None:
    """Load what is needed when the target is held, while the kernel makes buffers."""
    import capadvise.linux.posture  # noqa: F401

    meanwhile()


def working_directory() -> str:
    """Where we were called."""
    try:
        return os.getcwd()
    except OSError:  # it was removed below us
        return os.environ.get("PWD", "?")
