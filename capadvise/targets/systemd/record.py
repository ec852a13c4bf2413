"""Observing a unit that ``systemctl`` starts: it ends, not systemctl, and its manager stops it."""

import shlex
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, replace

from capadvise.config.systemd.file import WITHHELD
from capadvise.kernel import own_caps, procfs
from capadvise.kernel.background import Background
from capadvise.model.caps import Cap, CapSet
from capadvise.model.errors import CannotObserve
from capadvise.model.posture import Posture
from capadvise.model.recording import Held, Recording
from capadvise.model.target import Target
from capadvise.model.workload import IS_ACTIVE
from capadvise.observe.audit.live import AuditListener
from capadvise.observe.ftrace.instances import require
from capadvise.observe.supervise.command import Command
from capadvise.observe.supervise.command_subject import CommandSubject
from capadvise.observe.supervise.decisions import Happening, Limits, MainExited, Moment
from capadvise.observe.supervise.event_loop import EventLoop, Onlooker, TargetSoFar
from capadvise.observe.supervise.observation import Observation
from capadvise.observe.supervise.session import Session, Tracing, everything, session
from capadvise.observe.supervise.sources import Sources
from capadvise.observe.tracking.tasks import Scope
from capadvise.observe.tracking.tracker import Tracker
from capadvise.targets.systemd import drop_in, manager, safety
from capadvise.targets.systemd.drop_in import change_of, changed, undo_abandoned
from capadvise.targets.systemd.invocation import UnitOrder, restart_of
from capadvise.targets.systemd.refusals import refused
from capadvise.targets.systemd.unit import ServiceUnit
from capadvise.targets.systemd.unit_starts import UnitStarts, processes

_ASK_SECONDS = 0.25
"""Seconds between two questions to the manager."""


class UnitSubject:
    """One start of a unit. See ``event_loop.Subject``."""

    health = None

    def __init__(
        self,
        client: CommandSubject,
        unit: ServiceUnit,
        starts: UnitStarts,
        *,
        checked: bool = False,
    ) -> None:
        """``client``: systemctl. ``checked``: a health check says when there is nothing more to
        see, also of a unit that remains after its exit."""
        self._client, self._unit, self._starts = client, unit.name, starts
        self._oneshot, self._checked = unit.oneshot, checked
        self.fds = client.fds
        self.status: int | None = None
        self.ended = False
        self.ended_by_us = False
        """It ran until its stop began."""
        self._asked: Background[ServiceUnit] | None = None
        self._next = 0.0
        self._stopping = self._finished = self._killed = False
        self._main = 0
        """Its main process before its stop."""

    @property
    def client_status(self) -> int | None:
        """Exit status of systemctl."""
        return self._client.status

    @property
    def begun(self) -> bool:
        """True if its manager says that it is up: a unit that is stopped earlier fails to start. A
        oneshot has begun with its first command."""
        started = self._oneshot or self._client.ended
        return started and self._starts.scope is not None

    @property
    def cautions(self) -> tuple[str, ...]:
        """The commands of the unit that do not count."""
        return tuple(
            f"{path}: executed with a + prefix, and so with every capability whatever the set is: "
            "not counted"
            for path in sorted(self._starts.privileged)
        )

    def update(self) -> list[Happening]:
        """Read the reports of the guardian and the manager."""
        reported = self._client.update()
        happened: list[Happening] = [one for one in reported if not isinstance(one, MainExited)]
        if Moment.SUPERVISOR_LOST in happened:
            self.ended = True
        elif self._client.ended and (unit := self._look()) is not None:
            happened += self._judge(unit)
        return happened

    def _look(self) -> ServiceUnit | None:
        """The unit's state, if it was asked for and the answer is there."""
        now = time.monotonic()
        if self._asked is None and now >= self._next:
            self._asked = Background(lambda: manager.show(self._unit))
        if self._asked is None or not self._asked.ended:
            return None
        asked, self._asked = self._asked, None
        self._next = now + _ASK_SECONDS
        try:
            return asked.result()
        except CannotObserve:  # it is busy (daemon-reload), or it is gone
            self.ended = self._killed
        return None

    def _judge(self, unit: ServiceUnit) -> list[Happening]:
        if not self._stopping:
            self._main = unit.main
            if not self._starts.main_seen:  # the first one was gone too soon: a program may fork
                pids = self.pids()
                for pid in [unit.main] if unit.main in pids else pids[:1]:
                    self._starts.look(pid)
        elif self._main and unit.main not in (0, self._main):  # its socket has started it again
            self.status, self.ended = self._client.status or 0, True
            return []
        if not unit.runs:
            failed = self._client.status or (1 if unit.active == "failed" else 0)
            self.status = unit.status or failed
            self.ended = True
            return []
        if unit.sub == "exited" and not (self._finished or self._checked):  # RemainAfterExit=
            self._finished = True
            return [Moment.FINISHED]
        return [Moment.LEFT_BEHIND]

    def pids(self) -> list[int]:
        """All processes in its control group."""
        return processes(self._unit)

    def check_environment(self) -> dict[str, str]:
        """``UNIT``."""
        return {"UNIT": self._unit}

    def signal(self, number: int, *, from_process: bool) -> None:
        """Pass a signal to systemctl while it lives; later, it ends the recording."""
        if not self._client.ended:
            self._client.signal(number, from_process=from_process)
        elif number != signal.SIGHUP:
            self.stop()

    def note_ending(self) -> None:
        """Note that it still runs."""
        self.ended_by_us = not self._finished

    def stop(self) -> None:
        """Stop the unit through its manager, with its ``ExecStop=``."""
        if not self._stopping:
            self._stopping = self._starts.stopping = True
            Background(lambda: _tried(manager.stop, self._unit))

    def end_rest(self) -> None:
        """Its manager ends what its main process leaves."""

    def kill(self) -> None:
        """Kill the unit and systemctl at once."""
        self._killed = True
        Background(lambda: _tried(manager.kill, self._unit))
        self._client.kill()
        self.stop()


def _tried(order: Callable[[str], None], unit: str) -> None:
    with suppress(CannotObserve):
        order(unit)


WATCHED = 30.0
"""Seconds after its start in which a unit without a health check is watched."""


@dataclass(frozen=True, slots=True)
class UnitRun:
    """The result of one start of a unit."""

    seen: Observation
    status: int | None
    """The exit status of systemctl."""
    begun: bool
    """True if a command of the unit was executed."""


def observe_unit(
    order: UnitOrder,
    command: Command,
    meanwhile: Callable[[], object] = lambda: None,
    *,
    say: Callable[[str], object] = lambda sentence: None,
    onlooker: Onlooker | None = None,
    allow_actions: bool = False,
) -> UnitRun:
    """Start a unit with every capability, observe it, and restore it. ``say`` receives the other
    effects before. ``allow_actions``: see ``require_harmless``. Raises CannotObserve or BadInput if
    nothing ran."""
    require()
    for name in undo_abandoned():
        say(f"{name}: made as it was again: an earlier capadvise, which was killed, had changed it")
    unit = manager.known(order.unit)
    safety.require_own_processes(unit)
    if unit.runs and order.verb == "start":
        raise refused("runs", name=unit.name, short=unit.short_name, state=unit.active)
    change = change_of(unit)
    safety.require_restartable(unit, change.around, allow=allow_actions)
    if stops := ", ".join(change.around.stops):
        say(f"these stop with {unit.name}, and are started again: {stops}")
    if unit.runs:
        say(f"{unit.name}: restarted for the recording, and once more afterwards")
    run = run_unit(
        *(order, unit, command, meanwhile),
        under=changed(change, drop_in.for_recording(unit)),
        sweep=[change.sweep],
        onlooker=onlooker,
    )
    if not run.begun:
        reason = "not started" if run.status else "not seen"
        raise refused(reason, CannotObserve, name=unit.name, status=run.status)
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
    """Start it, and follow it to its end. ``under``: the change during the run, and ``sweep``: the
    commands by which the guardian undoes it. ``at_end`` is called before it is undone."""
    manager_pid = manager.pid()
    granted = _grantable(unit) if command.caps is None else _grantable(unit) & command.caps
    with session(
        replace(command, argv=order.argv, user=None, caps=None),
        tracing=Tracing(missing=everything() - granted, also=lambda: procfs.threads(manager_pid)),
        sweep=sweep,
        meanwhile=meanwhile,
    ) as ready:
        starts = UnitStarts(unit, manager=manager_pid)
        loop, subject = _loop(ready, command, unit, starts)

        def recordings() -> tuple[Recording, ...]:
            scope, status = starts.scope or Scope(1, 0, 0), subject.status
            # The unit ran until we stopped it, and its manager says that it did not fail.
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
    """The capabilities of this machine that its other settings leave to it."""
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
    checked = command.check is not None and command.kind != "oneshot"
    subject = UnitSubject(client, unit, starts, checked=checked)
    # Its manager waits this long before it kills.
    stop_patience = 2 * command.patience
    limits = Limits(
        *(command.kind, command.seconds, command.patience, stop_patience), ends_by_interrupt=True
    )
    sources = Sources(trace.buffers, tracker, AuditListener.open())
    return EventLoop(subject, sources, ready.signals, command, limits), subject


def _held(unit: ServiceUnit, granted: CapSet) -> Held:
    """The sets at the exec, as the manager grants them: when the exec is reported, a program such
    as knotd may have given them up."""
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
        check = active_check(unit.name)
        command = replace(command, check_after=command.check_after or WATCHED)
    return Observation(
        recordings=recordings,
        target=Target(
            kind="unit",
            name=unit.short_name,
            argv=restart_of(unit.name).argv,
            cwd="/",
            user="{}:{}".format(*starts.user),
            granted=unit.granted & procfs.capability_sets().bounding,
        ),
        workload=command.workload(kind, check),
        posture=starts.posture or Posture(),
        check_passed=loop.state.health.passed,
        check_said=loop.check_said,
        credentials=loop.credentials,
        listening=loop.listening,
        given_up=loop.given_up,
    )


def active_check(unit: str) -> str:
    """The check that replaces a health check: its manager says that it is up."""
    return f"{IS_ACTIVE}{shlex.quote(unit)}"
