"""A command that is held, its exec, and its end: what was seen of it.

Apart from ``observe``, so that all this is loaded while the kernel makes the buffers.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from capadvise.linux.kernel import own_caps, procfs
from capadvise.linux.posture.read import posture_at_exec
from capadvise.linux.supervise.command import Command, name_of
from capadvise.linux.supervise.event_loop import Watch
from capadvise.linux.supervise.null_observer import NoBuffers, NoChecks
from capadvise.linux.supervise.observation import Observation, working_directory
from capadvise.linux.supervise.session import Session
from capadvise.linux.tracking.tasks import OneCommand, Scope
from capadvise.linux.tracking.tracker import Tracker
from capadvise.recording import Held, Recording, Target
from capadvise.workload import Workload


def watched(
    ready: Session,
    command: Command,
    user: dict[str, Any] | None,
    each_round: Callable[[Watch], None] | None,
) -> Observation:
    """Let it go, and watch it to its end. See ``observe.observe``."""
    cwd = working_directory()
    uid, gid = (user["uid"], user["gid"]) if user else (os.getuid(), os.getgid())
    starts = OneCommand(ready.held)
    tracker = _tracker(ready, starts, uid, gid)
    run = Watch(command, ready.guardian, ready.signals, ready.buffers, tracker, ready.listener)
    sets = procfs.capability_sets(ready.held)
    placed = posture_at_exec(ready.held)
    held = Held(
        bounding=sets.bounding,
        permitted=sets.permitted if user else sets.bounding,
        ambient=sets.ambient,
    )

    def so_far() -> Recording:
        return run.recording(
            starts.scope or Scope(0, ready.held, 0), held, run.status, mac=placed.mac
        )

    run.so_far = lambda: (so_far(),)
    own_caps.keep()
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


def _tracker(ready: Session, starts: OneCommand, uid: int, gid: int) -> Tracker | NoChecks:
    if ready.symbols is None or isinstance(ready.buffers, NoBuffers):
        return NoChecks(ready.held, ready.listener)
    retried = ready.listener is not None
    types = ready.buffers.types
    return Tracker(types, ready.symbols, starts, ready.held, uid, gid, retried=retried)
