"""Observing a unit that ``systemctl`` starts."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

from capadvise.config.systemd.exposed import WITHHELD
from capadvise.kernel import own_caps, procfs
from capadvise.model.caps import Cap, CapSet
from capadvise.model.errors import BadInput, CannotObserve
from capadvise.model.posture import Posture
from capadvise.model.recording import Held, Recording
from capadvise.model.target import Target
from capadvise.observe.audit.live import AuditListener
from capadvise.observe.ftrace.instances import require
from capadvise.observe.supervise.command import Command
from capadvise.observe.supervise.command_subject import CommandSubject
from capadvise.observe.supervise.decisions import Limits
from capadvise.observe.supervise.event_loop import EventLoop
from capadvise.observe.supervise.observation import Observation
from capadvise.observe.supervise.onlooker import Onlooker, TargetSoFar
from capadvise.observe.supervise.session import Session, Tracing, everything, session
from capadvise.observe.supervise.sources import Sources
from capadvise.observe.tracking.tasks import Scope
from capadvise.observe.tracking.tracker import Tracker
from capadvise.targets.systemd import drop_in, manager, safety
from capadvise.targets.systemd.invocation import UnitOrder, restart_of
from capadvise.targets.systemd.undo import change_of, changed, undo_abandoned
from capadvise.targets.systemd.unit import ServiceUnit
from capadvise.targets.systemd.unit_starts import UnitStarts
from capadvise.targets.systemd.unit_subject import UnitSubject

SETTLES = 2.0
"""Seconds after which a unit that is still active counts as started."""


@dataclass(frozen=True, slots=True)
class UnitRun:
    """What came of a start of a unit."""

    seen: Observation
    status: int | None
    """As systemctl ended."""
    begun: bool
    """A command of the unit's was executed."""


def observe_unit(
    order: UnitOrder,
    command: Command,
    meanwhile: Callable[[], object] = lambda: None,
    *,
    say: Callable[[str], object] = lambda sentence: None,
    onlooker: Onlooker | None = None,
) -> UnitRun:
    """Start a unit with every capability, and return what was seen; then it is as it was before.

    ``say`` is told what else is concerned, before. Raises CannotObserve or BadInput where nothing
    ran.
    """
    require()
    for name in undo_abandoned():
        say(f"{name}: made as it was again: an earlier capadvise, which was killed, had changed it")
    unit = manager.known(order.unit)
    safety.require_own_processes(unit)
    safety.require_restartable(unit)
    if unit.runs and order.verb == "start":
        raise BadInput(
            f"{unit.name} is {unit.active} already: systemctl would start nothing",
            hint=f"capadvise run -- systemctl restart {unit.short_name}, which restarts it, or "
            f"watch it as it runs: capadvise attach {unit.name}",
        )
    if unit.dependents:
        say(f"{', '.join(unit.dependents)}: stopped and restarted with {unit.name}")
    if unit.runs:
        say(f"{unit.name}: restarted for the recording, and once more afterwards")
    change = change_of(unit)
    run = run_unit(
        *(order, unit, command, meanwhile),
        under=changed(change, drop_in.for_recording(unit)),
        sweep=[change.sweep],
        onlooker=onlooker,
    )
    if not run.begun:
        raise _not_seen(unit, run.status)
    return run


def run_unit(
    order: UnitOrder,
    unit: ServiceUnit,
    command: Command,
    meanwhile: Callable[[], object] = lambda: None,
    *,
    under: AbstractContextManager[None] | None = None,
    sweep: Sequence[list[list[str]]] = (),
    onlooker: Onlooker | None = None,
    at_end: Callable[[], None] = lambda: None,
) -> UnitRun:
    """Start it, and follow it to its end. ``under``: what it is changed by meanwhile, and
    ``sweep``: how the guardian undoes that. ``at_end`` is called before it is undone."""
    manager_pid = manager.pid()
    granted = _grantable(unit) if command.caps is None else _grantable(unit) & command.caps
    with session(
        replace(command, argv=order.argv, user=None, caps=None),
        tracing=Tracing(missing=everything() - granted, also=lambda: procfs.threads(manager_pid)),
        sweep=sweep,
        meanwhile=meanwhile,
    ) as ready:
        starts = UnitStarts(unit)
        loop, subject = _loop(ready, command, unit, starts)

        def recordings() -> tuple[Recording, ...]:
            scope, status = starts.scope or Scope(1, 0, 0), subject.status
            # What we stopped had run until then, and its manager says that it did not fail.
            well = subject.ended_by_us and status == 0
            return (loop.recording(scope, _held(unit, granted), status, healthy=well),)

        own_caps.keep()
        with under or nullcontext():
            loop.count_from(ready.release())
            loop.run(
                None
                if onlooker is None
                else lambda: onlooker(loop, lambda: (TargetSoFar("", recordings()),))
            )
            at_end()
    seen = _observation(unit, command, loop, subject, starts, recordings())
    return UnitRun(seen, subject.client_status, starts.scope is not None)


def _grantable(unit: ServiceUnit) -> CapSet:
    """What its other settings leave of all that there is here."""
    names = [name for key in unit.settings for name in WITHHELD.get(key, ())]
    return procfs.capability_sets().bounding - {Cap.parse(name) for name in names}


def _loop(
    ready: Session, command: Command, unit: ServiceUnit, starts: UnitStarts
) -> tuple[EventLoop, UnitSubject]:
    trace = ready.traced()
    tracker = Tracker(
        *(trace.buffers.types, trace.symbols, starts, ready.held, 0, 0),
        pointers=trace.buffers.pointers,
    )
    client = CommandSubject(ready.guardian, ready.held, own_terminal=command.terminal is not None)
    subject = UnitSubject(client, unit, starts)
    # Its manager waits so long by itself before it kills.
    stop_patience = 2 * command.patience
    limits = Limits(
        *(command.kind, command.seconds, command.patience, stop_patience), ends_by_interrupt=True
    )
    sources = Sources(trace.buffers, tracker, AuditListener.open())
    return EventLoop(subject, sources, ready.signals, command, limits), subject


def _held(unit: ServiceUnit, granted: CapSet) -> Held:
    """At the exec of its commands, which is what its manager gives them: once we hear of an exec,
    a program may have given up its sets already (knotd)."""
    return Held(granted, granted, frozenset() if unit.is_root else granted)


def _observation(
    unit: ServiceUnit,
    command: Command,
    loop: EventLoop,
    subject: UnitSubject,
    starts: UnitStarts,
    recordings: tuple[Recording, ...],
) -> Observation:
    check, kind = command.check, loop.kind
    if subject.ended_by_us and not unit.oneshot:
        kind = command.kind or "daemon"
    if check is None and kind == "daemon":
        check, command = active_check(unit.name), replace(command, check_after=SETTLES)
    return Observation(
        recordings=recordings,
        target=Target(
            kind="unit",
            name=unit.short_name,
            argv=restart_of(unit.name).argv,
            cwd="/",
            user="{}:{}".format(*starts.user),
        ),
        workload=command.workload(kind, check),
        posture=starts.posture or Posture(),
        check_passed=loop.state.health.passed,
        check_said=loop.check_said,
        credentials=loop.credentials,
        given_up=loop.given_up,
    )


def active_check(unit: str) -> str:
    """What stands for a health check: its manager says that it is up."""
    return f"systemctl is-active --quiet {shlex.quote(unit)}"


def _not_seen(unit: ServiceUnit, status: int | None) -> Exception:
    if status:
        return CannotObserve(
            f"systemctl started nothing of {unit.name}: it ended with {status}",
            hint=f"systemctl status {unit.name}",
        )
    return CannotObserve(f"nothing of {unit.name} was seen to start", hint="run `capadvise doctor`")
