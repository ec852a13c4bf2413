"""Recording a command from its exec to its end.

Apart from ``record``, so that all this is loaded when the command runs already.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from capadvise.kernel import procfs, user_namespaces
from capadvise.kernel.background import Background
from capadvise.kernel.posture.read import posture_at_exec
from capadvise.model import recording
from capadvise.model.caps import CapSet
from capadvise.model.recording import Recording
from capadvise.model.target import CLIENTS, Target
from capadvise.observe.supervise.command import Command, name_of
from capadvise.observe.supervise.command_subject import CommandSubject
from capadvise.observe.supervise.decisions import Limits
from capadvise.observe.supervise.event_loop import EventLoop, Onlooker, TargetSoFar
from capadvise.observe.supervise.held import HeldCommand
from capadvise.observe.supervise.observation import Observation
from capadvise.observe.supervise.session import Session
from capadvise.observe.supervise.sources import CheckTracker, NoTracker, Sources
from capadvise.observe.tracking.tasks import OneCommand, Scope
from capadvise.observe.tracking.tracker import Tracker

if TYPE_CHECKING:
    from capadvise.observe.supervise.settings import Settings

_WATCHED = CLIENTS | {"systemctl"}


class EngineClients:
    """Clients of container engines and of systemd that a command executes: a script, make, sudo.
    Each is examined while it lives: it waits for its engine."""

    def __init__(self) -> None:
        self.seen: dict[tuple[int, tuple[str, ...]], None] = {}
        """uid and arguments."""

    def sighted(self, pid: int, path: str) -> None:
        """A program was executed just now."""
        if os.path.basename(path) in _WATCHED and (words := procfs.arguments(pid)):
            ids = user_namespaces.ids(pid)
            self.seen[ids[0][0] if ids else 0, words] = None


def follow(
    ready: Session,
    command: Command,
    user: dict[str, Any] | None,
    held: HeldCommand,
    onlooker: Onlooker | None,
    released: float,
    settings: Settings | None,
) -> Observation:
    """Follow it to its end. See ``record.observe`` and ``Session.release``."""
    clients = EngineClients()
    ids = (user["uid"], user["gid"]) if user else (os.getuid(), os.getgid())
    starts = OneCommand(ready.held, held.processes)
    loop = _loop(ready, command, starts, ids, clients, held)
    loop.count_from(released)
    sets = recording.Held(
        bounding=held.sets.bounding,
        permitted=held.sets.permitted if user else held.sets.bounding,
        ambient=held.sets.ambient,
    )

    posture = Background(lambda: posture_at_exec(held.own, held.sysctls))

    def recordings() -> tuple[Recording]:
        scope = starts.scope or Scope(0, ready.held, 0)
        seen = loop.recording(scope, sets, loop.subject.status)
        if ready.trace and loop.subject.ended and not starts.scope:
            # Even its exec was not seen: other losses are likely, and uncounted.
            seen = replace(seen, lost=replace(seen.lost, signal=seen.lost.signal + 1))
        return (seen,)

    loop.run(
        None
        if onlooker is None
        else lambda: onlooker(loop, lambda: (TargetSoFar("", recordings()),))
    )
    return Observation(
        recordings=recordings(),
        target=Target(
            *("command", name_of(command.argv), command.argv, held.cwd, "{}:{}".format(*ids)),
            granted=_granted(held, user, ids[0]),
        ),
        workload=command.workload(loop.kind, command.check),
        posture=posture.result(),
        check_passed=loop.state.health.passed,
        check_said=loop.check_said,
        credentials=loop.credentials,
        listening=loop.listening,
        given_up=loop.given_up,
        outlasting=loop.outlasting,
        changed=() if settings is None else settings.changed(loop.sources.tracker.pids),
        sockets=tuple(dict.fromkeys(ready.trace.buffers.pointers.sockets())) if ready.trace else (),
        engine_clients=tuple(clients.seen),
    )


def _granted(held: HeldCommand, user: dict[str, Any] | None, uid: int) -> CapSet:
    """The command's set without us: root's bounding set, else the ambient set of its caller."""
    if uid == 0:
        return held.sets.bounding
    return frozenset() if user else procfs.capability_sets().ambient


def _loop(
    ready: Session,
    command: Command,
    starts: OneCommand,
    ids: tuple[int, int],
    clients: EngineClients,
    held: HeldCommand,
) -> EventLoop:
    listener = ready.listener
    subject = CommandSubject(
        ready.guardian,
        ready.held,
        own_terminal=command.terminal is not None,
        others=lambda: (listener.pid,) if listener else (),
        goes_on=command.announcer.goes_on if command.announcer and not command.check else None,
    )
    tracker = _tracker(ready, starts, ids, clients)
    sources = Sources(ready.buffers, tracker, held.audit, listener)
    limits = Limits(
        *(command.kind, command.seconds, command.patience, command.patience),
        rest_patience=command.rest_patience,
    )
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
