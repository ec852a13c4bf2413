"""A command that is held, its exec, and its end: what was seen of it.

Apart from ``record``, so that all this is loaded while the kernel makes the buffers.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from capadvise.linux.kernel import own_caps, procfs
from capadvise.linux.posture.read import posture_at_exec
from capadvise.linux.supervise.command import Command, name_of
from capadvise.linux.supervise.command_subject import CommandSubject
from capadvise.linux.supervise.decisions import Limits
from capadvise.linux.supervise.engine_clients import EngineClients
from capadvise.linux.supervise.event_loop import EventLoop
from capadvise.linux.supervise.observation import Observation, working_directory
from capadvise.linux.supervise.onlooker import Onlooker, TargetSoFar
from capadvise.linux.supervise.session import Session
from capadvise.linux.supervise.sources import CheckTracker, Sources
from capadvise.linux.supervise.untraced import NoTracker
from capadvise.linux.tracking.tasks import OneCommand, Scope
from capadvise.linux.tracking.tracker import Tracker
from capadvise.recording import Held, Recording
from capadvise.target import Target
from capadvise.workload import Workload


def record_held(
    ready: Session, command: Command, user: dict[str, Any] | None, onlooker: Onlooker | None
) -> Observation:
    """Let it go, and follow it to its end. See ``record.observe``."""
    cwd = working_directory()
    clients = EngineClients()
    ids = (user["uid"], user["gid"]) if user else (os.getuid(), os.getgid())
    starts = OneCommand(ready.held)
    loop = _loop(ready, command, starts, ids, clients)
    sets = procfs.capability_sets(ready.held)
    posture = posture_at_exec(ready.held)
    held = Held(
        bounding=sets.bounding,
        permitted=sets.permitted if user else sets.bounding,
        ambient=sets.ambient,
    )

    def recordings() -> tuple[Recording]:
        scope = starts.scope or Scope(0, ready.held, 0)
        recording = loop.recording(scope, held, loop.subject.status)
        if ready.trace and loop.subject.ended and not starts.scope:
            # Not even its exec was seen: what else was not, nobody knows, and nothing counted it.
            lost = replace(recording.lost, signal=recording.lost.signal + 1)
            recording = replace(recording, lost=lost)
        return (recording,)

    own_caps.keep()
    ready.release()
    loop.run(
        None
        if onlooker is None
        else lambda: onlooker(loop, lambda: (TargetSoFar("", recordings()),))
    )
    return Observation(
        recordings=recordings(),
        target=Target("command", name_of(command.argv), command.argv, cwd, "{}:{}".format(*ids)),
        workload=Workload(loop.kind, check=command.check, check_after=command.check_after),
        posture=posture,
        check_passed=loop.state.health.passed,
        check_said=loop.check_said,
        credentials=loop.credentials,
        given_up=loop.given_up,
        engine_clients=tuple(clients.seen),
    )


def _loop(
    ready: Session,
    command: Command,
    starts: OneCommand,
    ids: tuple[int, int],
    clients: EngineClients,
) -> EventLoop:
    listener = ready.listener
    subject = CommandSubject(
        ready.guardian,
        ready.held,
        own_terminal=command.terminal is not None,
        tracer=(lambda: listener.pid) if listener else lambda: 0,
    )
    sources = Sources(ready.buffers, _tracker(ready, starts, ids, clients), listener)
    limits = Limits(command.kind, command.seconds, command.patience, command.patience)
    return EventLoop(subject, sources, ready.signals, command, limits)


def _tracker(
    ready: Session, starts: OneCommand, ids: tuple[int, int], clients: EngineClients
) -> CheckTracker:
    if (trace := ready.trace) is None:
        return NoTracker(ready.listener)
    retried = ready.listener is not None
    return Tracker(
        *(trace.buffers.types, trace.symbols, starts, ready.held, *ids),
        early=clients.sighted,
        retried=retried,
        pointers=trace.buffers.pointers,
    )
