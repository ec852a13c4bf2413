"""Between the target's exec and the end of the recording: read, listen, check, stop."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from capadvise.kernel import procfs
from capadvise.kernel.own_streams import replace_dead_streams
from capadvise.kernel.serving import listening_anywhere, waits_for_work
from capadvise.model.caps import Credentials
from capadvise.model.health import Health
from capadvise.model.recording import Held, Host, Recording, Tally
from capadvise.observe.supervise import decisions
from capadvise.observe.supervise.command import Command
from capadvise.observe.supervise.decisions import Due, Happening, Limits, Order, State
from capadvise.observe.supervise.guardian_client import Signals
from capadvise.observe.supervise.sources import Sources
from capadvise.observe.tracking.tasks import LOOKED, STATE, Scope

if TYPE_CHECKING:
    from capadvise.observe.supervise.health_check import Checker

_EVERY = 0.25
"""Seconds between two looks, at most: each reads all of /proc."""


class StandingStill:
    """True if a target makes no progress: no program begins that it has not run before, and none
    computes. A target that hangs makes no progress, and neither does one that starts the same
    programs again and again."""

    def __init__(self, limit: float) -> None:
        """``limit``: seconds without progress until it counts as standing still; up to twice as
        long if it computes all that time, or has no processor to do so."""
        self._limit, self._every = limit, min(_EVERY, limit / 2)
        self._known: set[str] = set()
        self._next = self._looked = self._changed = self._busy = 0.0

    def look(self, now: float, running: Callable[[], tuple[set[str], bool]]) -> bool:
        """True if it has stood still for too long. ``running``: the names of its programs, and if
        one of them is busy; called from time to time."""
        if now < self._next:
            return False
        programs, busy = running()
        self._busy += busy * (now - self._looked)
        self._next, self._looked = now + self._every, now
        if not programs <= self._known:
            self._known |= programs
            self._changed, self._busy = now, 0.0
        still = now - self._changed - min(self._limit, self._busy)
        return bool(self._known) and still > self._limit


_UNREAD_CAPSET = (
    "a program called capset(2), and its arguments were not read: it may need more than was "
    "observed"
)
_ROUND = 0.02
"""Seconds between two rounds of reading."""
_QUIET_ROUND, _QUIET_AFTER = 0.2, 2.0
"""The same after a number of seconds without any event."""
_CHECKS_ITSELF = 1.0
"""Seconds between two checks that we make on purpose while there are no events."""


class Subject(Protocol):
    """The subject of a recording: a command, a running target, containers. The event loop gives it
    orders, and asks for its news."""

    @property
    def fds(self) -> Sequence[int]:
        """Descriptors that wake the event loop when something happens to it."""

    @property
    def status(self) -> int | None:
        """Its exit status, as ``subprocess`` gives it; None until it is known."""

    @property
    def ended(self) -> bool:
        """Nothing of it is left, or nothing more is to be seen of it."""

    @property
    def cautions(self) -> tuple[str, ...]:
        """Cautions for the recording."""

    @property
    def begun(self) -> bool:
        """The target's own program has started: until then there is nothing to be checked."""

    @property
    def health(self) -> Health | None:
        """The result of a health check that is not ours, such as an engine's."""

    def update(self) -> Sequence[Happening]:
        """The events since the last call."""

    def pids(self) -> list[int]:
        """Its processes."""

    def check_environment(self) -> dict[str, str]:
        """Variables for its health check in addition to ``EXIT`` and ``PIDS``."""

    def signal(self, number: int, *, from_process: bool) -> None:
        """A signal reached capadvise: pass it on. From the terminal, it has reached the whole
        process group."""

    def note_ending(self) -> None:
        """It is about to get the stop signal."""

    def stop(self) -> None:
        """End it as a runtime would; a target that is not ours is left alone, and its recording
        ends."""

    def end_rest(self) -> None:
        """Its main process has ended after the stop signal: end the other processes."""

    def kill(self) -> None:
        """End at once."""


class EventLoop:
    """Follows one subject to its end."""

    def __init__(
        self,
        subject: Subject,
        sources: Sources,
        signals: Signals,
        command: Command,
        limits: Limits,
    ) -> None:
        """``command``: only its settings of the health check are used."""
        self.subject, self.sources = subject, sources
        self.state = State()
        self.credentials: tuple[Credentials, ...] = ()
        self.listening: tuple[str, ...] = ()
        """See ``Observation``; when the health check passed."""
        self.clock = self._busy = self._checked_itself = time.monotonic()
        self._began = time.time()
        self._signals, self._limits = signals, limits
        self._check_limit, self._announcer = command.check_limit, command.announcer
        self._check_after, self._begun_at = command.check_after, 0.0
        self.health: Health | None = None
        """The result of its own health check, or of the engine's."""
        self._announced = 0.0
        """When the announcer was last called."""
        self._checker: Checker | None = None
        limit = command.still_limit
        self._standing_still = StandingStill(limit) if limit is not None else None
        self.given_up: str | None = None
        """Why it was killed before its time, of a trial."""
        self.outlasting: tuple[str, ...] | None = None
        """See ``Observation``."""
        self._running: set[tuple[Scope | None, str]] = set()
        """Scope, if known, and name of the processes that ran when its stop began."""
        self._serving: set[Scope | None] = set()
        """Those whose processes listened at a port then."""
        self._unhealthy = ""
        """The output of the target's own health check when it failed."""
        if command.check:
            self._use_check(command.check)
        self._deeds: Mapping[Order, Callable[[], object]] = {
            Order.NOTE_ENDING: self._note_ending,
            Order.FORGET_ENDING: self._forget_ending,
            Order.STOP: subject.stop,
            Order.AWAIT_REST: self._await_rest,
            Order.END_REST: self._end_rest,
            Order.KILL: subject.kill,
            Order.READ_CREDENTIALS: self._read_credentials,
        }

    # ------------------------------------------------------------ for those who look on

    @property
    def kill_at(self) -> float | None:
        """When, by the monotonic clock, the target is killed; None: nobody asked it to end."""
        return None if self.state.kill_at is None else self.clock + self.state.kill_at

    @property
    def kind(self) -> str:
        """oneshot or daemon."""
        return decisions.workload_kind(self._limits, self.state.health)

    @property
    def has_check(self) -> bool:
        """True if a health check is made here."""
        return self._checker is not None

    @property
    def check_said(self) -> str:
        """The output of the last run of the health check."""
        return self._checker.output if self._checker else self._unhealthy

    def order_stop(self) -> None:
        """End the target; ordered again, kill it."""
        self._decide(decisions.Moment.STOP_ORDERED)

    # ------------------------------------------------------------ the loop

    def count_from(self, released: float) -> None:
        """Count its time from its release, by the monotonic clock."""
        self.clock = self._busy = released
        self._began = time.time() - (time.monotonic() - released)

    def run(self, each_round: Callable[[], None] | None = None) -> None:
        """Read until the subject has ended. ``each_round`` is called after each round."""
        self.sources.check_itself()
        self.sources.read()  # the exec: were it overwritten, nothing would be counted
        complete = False  # a short target's end came with the news of its start: no wait for more
        while not self.subject.ended:
            self._wait(complete)
            complete = self.sources.read()
            self._update()
            self._take_signals()
            self._decide(decisions.Moment.TICK)
            self._check()
            self._follow_health()
            self._end_what_stands_still()
            if each_round is not None:
                each_round()
        self.sources.finish()
        if self._checker is not None:
            self._checker.abandon()
            if decisions.check_after_end(self._limits, self.state.health):
                passed = self._check_to_its_end()
                self.state = replace(self.state, health=replace(self.state.health, passed=passed))

    def _wait(self, complete: bool) -> None:
        """Wait until the next round. After some time without events the rounds are longer, and the
        first event wakes us."""
        fds = [*self.subject.fds, self._signals.fd, *self.sources.fds]
        now = time.monotonic()
        if self._checker is None and now - self._busy > _QUIET_AFTER and self.sources.events:
            ready = select.select([*fds, *self.sources.events], [], [], _QUIET_ROUND)[0]
            written = any(fd in self.sources.events for fd in ready)
            if not ready and now > self._checked_itself + _CHECKS_ITSELF:
                self.sources.check_itself()  # what that writes is read now, and wakes nobody
                self._checked_itself = now
        else:
            select.select(fds, [], [], _ROUND if complete else 0)
            written = bool(select.select(self.sources.events, [], [], 0)[0])
        if written or not complete:
            self._busy = now

    def _update(self) -> None:
        for happened in self.subject.update():
            if isinstance(happened, decisions.HealthCheckKnown):
                self._use_check(happened.script)
                continue
            if isinstance(happened, decisions.Unhealthy):
                if self._standing_still is not None:
                    self._give_up("its engine found it unhealthy")
                    continue
                self._unhealthy = happened.output
            self._decide(happened)

    def _take_signals(self) -> None:
        for number, from_process in self._signals.received():
            if number == signal.SIGHUP and self._signals.hung_up:
                replace_dead_streams()
                self._decide(decisions.Moment.HUNG_UP)
                continue
            # what it does from its signal on is its end: noted before, however quick it is
            self._decide(decisions.Signalled(number))
            self.subject.signal(number, from_process=from_process)

    def _decide(self, event: decisions.Event) -> None:
        now = time.monotonic() - self.clock
        self.state, orders = decisions.decide(self._limits, self.state, event, now)
        for order in orders:
            self._deeds[order]()

    def _note_ending(self) -> None:
        self.sources.note_stopping(stopping=True)
        alive: dict[Scope | None, list[int]] = {}
        for pid in self._alive():
            scope = self.sources.tracker.scope_of(pid)
            alive.setdefault(scope, []).append(pid)
            self._running.add((scope, procfs.comm(pid)))
        self._serving |= {scope for scope, pids in alive.items() if waits_for_work(pids)}
        self.subject.note_ending()

    def _forget_ending(self) -> None:
        self.sources.note_stopping(stopping=False)
        self._running.clear()
        self._serving.clear()

    def _alive(self) -> list[int]:
        return [pid for pid in self.subject.pids() if procfs.state(pid) not in ("", "Z")]

    def _await_rest(self) -> None:
        self.outlasting = ()

    def _end_rest(self) -> None:
        if self.outlasting is not None:
            self.outlasting = tuple(sorted({procfs.comm(pid) for pid in self._alive()}))
        self.subject.end_rest()

    def _read_credentials(self) -> None:
        pids = self.subject.pids()
        self.credentials, self.listening = procfs.credentials(pids), listening_anywhere(pids)

    # ------------------------------------------------------------ the health check

    def _use_check(self, script: str) -> None:
        if self._checker is None:
            from capadvise.observe.supervise.health_check import Checker  # most runs do without

            self._checker = Checker(script, self._signals.before, self._check_limit)

    def _check(self) -> None:
        if self._checker is None:
            return
        exited = self.subject.status is not None
        if not exited and self._is_early():
            return
        due = decisions.check_due(self._limits, self.state, exited=exited)
        passed = None
        if due is Due.TRY:
            passed = self._poll()
        elif due is Due.TO_ITS_END:
            passed = self._check_to_its_end()
        if passed is not None:
            self.health = self._checker.health.after(self.health, time.monotonic() - self.clock)
            self._decide(decisions.Checked(passed))

    def _is_early(self) -> bool:
        """True if the target has not begun, or the user wants the first try later."""
        now = time.monotonic() - self.clock
        if not self.subject.begun:
            self._begun_at = now
            return True
        return now < self._begun_at + self._check_after

    def _end_what_stands_still(self) -> None:
        watch, now = self._standing_still, time.monotonic() - self.clock
        if watch is None or self.state.kill_at is not None:
            return
        stands_still = watch.look(now, self._programs)
        if stands_still and self.state.health.passed is False:
            self._give_up("nothing new happened any more")

    def _give_up(self, why: str) -> None:
        self.given_up = why
        self.order_stop()
        self.order_stop()

    def _programs(self) -> tuple[set[str], bool]:
        pids = self.subject.pids()
        return {procfs.comm(pid) for pid in pids}, any(map(procfs.is_busy, pids))

    def _follow_health(self) -> None:
        now = time.monotonic() - self.clock
        if self._checker is None and (seen := self.subject.health) is not None:
            self.health = seen.after(self.health, now)
        if self._announcer is None or self.health is None or self.state.kill_at is not None:
            return
        if news := self.health.news(now, self._announced):
            self._announced = now
            self._announcer.check_fails(news)

    def _poll(self) -> bool | None:
        assert self._checker is not None
        subject = self.subject
        return self._checker.poll(subject.status, subject.pids, subject.check_environment)

    def _check_to_its_end(self) -> bool:
        """Run the health check to its end; a signal ends the wait."""
        assert self._checker is not None
        self._checker.abandon()
        while (passed := self._poll()) is None:
            select.select([self._signals.fd], [], [], _ROUND)
            if not self.subject.ended:
                self.sources.read()
            numbers = [number for number, _ in self._signals.received()]
            if self._signals.hung_up or any(number != signal.SIGHUP for number in numbers):
                self.state = replace(self.state, interrupted=True)
                self._checker.abandon()
                return False
        return passed

    # ------------------------------------------------------------ the recording

    def recording(
        self,
        scope: Scope,
        held: Held,
        status: int | None,
        *,
        healthy: bool = False,
    ) -> Recording:
        """The recording of one scope. ``status``: as ``subprocess`` gives it. ``healthy``: a health
        check of its own has passed."""
        if status is not None and status < 0:
            status = 128 - status
        unread_capset = (_UNREAD_CAPSET,) if scope.unread_capset else ()
        recording = Recording(
            host=Host(
                kernel=os.uname().release,
                arch=os.uname().machine,
                last_cap=procfs.last_cap(),
                observer=self.sources.observer,
                lsm=procfs.active_lsms(),
            ),
            held=held,
            started=_iso(self._began),
            seconds=round(time.monotonic() - self.clock, 3),
            exit_status=status,
            checks=self.sources.tracker.checks(scope),
            refused_calls=self.sources.tracker.refused_calls(scope),
            audit=self.sources.audit_denials(scope),
            lost=replace(self.sources.lost, lookups=scope.lost_lookups),
            interrupted=self.state.interrupted,
            succeeded=decisions.succeeded(
                *(self._limits, self.state, status), checked=self.has_check, healthy=healthy
            ),
            io_uring=scope.io_uring,
            setid_exec=scope.setid_exec,
            program=scope.program,
            proc_scanners=scope.listers,
            proc_seekers=scope.seekers(LOOKED),
            proc_state_seekers=scope.seekers(STATE),
            access_time_keepers=frozenset(scope.access_time_keepers),
            isolators=frozenset(scope.isolators),
            own_set_readers=scope.own_set_readers(procfs.last_cap()),
            serving=not self._serving.isdisjoint((scope, None)),
            still_running=frozenset(name for of, name in self._running if of in (scope, None)),
            imports=frozenset(scope.imports),
            cautions=(*self.sources.tracker.cautions(), *unread_capset, *self.subject.cautions),
            fixed_capsets=tuple(
                (program, kept)
                for program, kept in scope.fixed_capsets
                if kept and kept != held.bounding
            ),
            capable_files=tuple(scope.capable_files),
        )
        return self.sources.merged(recording)


def _iso(seconds: float) -> str:
    """A time of the clock in words; importing ``datetime`` takes 2 ms."""
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds % 1 * 1000):03}+00:00"


@dataclass(frozen=True, slots=True)
class TargetSoFar:
    """One target: a command, a service, a container."""

    name: str
    """Empty where there can be only one."""
    recordings: tuple[Recording, ...]
    ended: bool = False
    health: Health | None = None
    """The result of its own health check."""
    exit_status: int | None = None
    """Its exit status, if it has ended and others go on."""

    def tallies(self) -> tuple[Tally, ...]:
        """How often each capability was checked for it, and by whom last."""
        counts: dict[int, Tally] = {}
        for recording in self.recordings:
            for check in recording.checks:
                before = counts.get(check.cap)
                count = check.count + (before.count if before else 0)
                counts[check.cap] = Tally(count, check)
        return tuple(counts.values())


Onlooker = Callable[[EventLoop, Callable[[], Sequence[TargetSoFar]]], None]
"""Called between two rounds of reading, with a function that returns the targets so far."""
