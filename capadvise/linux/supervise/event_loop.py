"""Between the target's exec and the end of the recording: read, listen, check, stop."""

from __future__ import annotations

import datetime
import os
import select
import signal
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from capadvise.linux.audit.live import Ear
from capadvise.linux.audit.merge import with_denials
from capadvise.linux.ftrace.instances import Buffers
from capadvise.linux.kernel import procfs
from capadvise.linux.kernel.process_tree import descendants
from capadvise.linux.retry.client import Listener
from capadvise.linux.supervise.command import Command
from capadvise.linux.supervise.guardian_client import GuardianProcess, Signals
from capadvise.linux.supervise.health_check import Checker
from capadvise.linux.supervise.null_observer import NoBuffers, NoChecks
from capadvise.linux.tracking.tasks import Scope
from capadvise.linux.tracking.tracker import Tracker
from capadvise.recording import Held, Host, Lost, Recording, Refusal

if TYPE_CHECKING:
    from capadvise.posture import Mac

_GRACE = 2.0
"""A target that still lives so many seconds after Ctrl-C was not stopped by it."""
_DOUBT = 5.0
"""After so many seconds the user is told that the check still fails."""
_LAST_WORD = 0.3
"""Seconds that the audit record of a killed process may take: a thread of the kernel sends it."""
_CROWDED = (
    "there were more different checks than can be told apart: of those beyond, the program, the "
    "user and the arguments are not known"
)
_ROUND = 0.02
"""Seconds between two rounds of reading."""
_ENDS_ITSELF = 0.3
"""Seconds in which a target without a kind, whose check has passed, may show that it is a oneshot
whose work was done, and no daemon."""


class Watch:
    """The time between the target's exec and the end of the recording."""

    def __init__(
        self,
        command: Command,
        guardian: GuardianProcess,
        signals: Signals,
        buffers: Buffers | NoBuffers,
        tracker: Tracker | NoChecks,
        listener: Listener | None = None,
    ) -> None:
        self.command, self.guardian, self.signals = command, guardian, signals
        self.buffers, self.tracker, self.listener = buffers, tracker, listener
        self.began = datetime.datetime.now(datetime.UTC)
        self.clock = time.monotonic()
        self.so_far: Callable[[], Sequence[Recording]] = tuple
        """What was seen so far, for those who look on; one recording for each scope."""
        self.status: int | None = None
        self.empty = self.interrupted = self.doubted = False
        self.kill_at: float | None = None
        self.alive_at: float | None = None
        self.lost = Lost()
        self.check_passed: bool | None = None
        self.passed_alive = False
        self._passed_at: float | None = None
        self.ear = Ear.open()
        self.credentials: tuple[tuple[str, int, int], ...] = ()
        self.checker = (
            Checker(command.check, signals.before, command.check_limit) if command.check else None
        )

    @property
    def kind(self) -> str:
        """oneshot or daemon: a check that passes while the target lives makes it a daemon."""
        if self.command.kind:
            return self.command.kind
        return "daemon" if self.passed_alive else "oneshot"

    def until_end(self, each_round: Callable[[Watch], None] | None = None) -> None:
        """Read until the tree is gone. ``each_round`` is called after each round of reading."""
        watched = [self.guardian.report, self.signals.fd]
        heard = [self.listener.fd] if self.listener else []
        done = self._drain()  # the exec: were it overwritten, nothing would be the target's
        while not self._over():
            select.select([*watched, *heard], [], [], _ROUND if done else 0)
            done = self._drain()
            self._hear()
            if self.listener and self.listener.ended:
                heard = []
            if self.guardian.ended and not self.empty:
                self._guardian_is_gone()
                break
            self._signals()
            self._time_is_up()
            self._check()
            if each_round is not None:
                each_round(self)
        self.buffers.stop()
        while not self._drain():
            pass
        self.tracker.finish()
        if self.ear is not None:
            if isinstance(self.tracker, Tracker) and self.tracker.unnamed:
                self.ear.wait(_LAST_WORD)
                self.ear.hear(self.tracker.scope_of)
            self.ear.close()
        if self.listener is not None:
            self.listener.finish()
        self.lost = self.buffers.lost()
        self._check_after_exit()

    def _drain(self) -> bool:
        """Read what is there; False where there was too much for one round."""
        done = True
        if isinstance(self.tracker, Tracker):
            done = self.buffers.drain(self.tracker)
            if self.ear is not None:
                self.ear.hear(self.tracker.scope_of)
        if self.listener is not None:
            self.listener.hear()
        return done

    def _over(self) -> bool:
        """Whether there is nothing left to watch."""
        return self.empty

    def _guardian_is_gone(self) -> None:
        self.guardian.kill_orphans()
        self.interrupted = True

    def _hear(self) -> None:
        for message in self.guardian.hear():
            if "exited" in message:
                self._exited(os.waitstatus_to_exitcode(message["exited"]))
                if self.kill_at is not None:
                    self._end_all()  # a shell dies and leaves its child, which is to stop, too
            elif "empty" in message:
                self.empty = True
            elif "stopped" in message:
                self._stop_with_target()

    def _exited(self, status: int) -> None:
        self.status = status

    def _stop_with_target(self) -> None:
        """The target stopped: so do we, for the shell's job control. The guardian wakes us when
        the target goes on. Off a terminal nobody looks, and reading must go on."""
        if (
            self.command.terminal is None
            and _in_foreground()
            # t: stopped so, under a tracer; the guardian never reports a stop for tracing alone
            and procfs.state(self.tracker.root) in ("T", "t")
        ):
            os.kill(os.getpid(), signal.SIGSTOP)

    def _signals(self) -> None:
        for number, from_process in self.signals.received():
            self._pass_on(number, from_process=from_process)
            if number == signal.SIGHUP:
                continue  # a reload, for most
            self.interrupted = True
            self._is_ending()
            if number == signal.SIGTERM:
                self.kill_at = time.monotonic() + self.command.patience
            else:
                self.alive_at = time.monotonic() + _GRACE

    def _time_is_up(self) -> None:
        now = time.monotonic()
        if self.alive_at is not None and now > self.alive_at and self.kill_at is None:
            # It goes on after Ctrl-C, as a shell or a debugger does: that was no stop.
            self.alive_at, self.interrupted = None, False
            self.tracker.stopping = None
        if self.command.seconds and now - self.clock > self.command.seconds:
            self.stop()
        if self._passed_at is not None and now > self._passed_at + _ENDS_ITSELF:
            self._stop_passed()
        if self.kill_at is not None and now > self.kill_at:
            self._kill()

    def stop(self) -> None:
        """End the target as a runtime would: SIGTERM, and SIGKILL for what does not heed it."""
        if self.kill_at is None:
            self._is_ending()
            self._terminate()
            self.kill_at = time.monotonic() + self.command.patience

    def _pass_on(self, number: int, *, from_process: bool) -> None:
        """A signal that was sent to us alone is for the target."""
        if from_process:
            self.guardian.tell({"signal": number})

    def _is_ending(self) -> None:
        """What is asked from now on is asked because the target ends."""
        if self.tracker.stopping is None:
            self.tracker.stopping = self.buffers.now()

    def _terminate(self) -> None:
        self._end_all()

    def _end_all(self) -> None:
        self.guardian.tell({"signal": signal.SIGTERM})
        self.guardian.tell({"signal": signal.SIGCONT})  # one that is stopped can heed it then

    def _kill(self) -> None:
        self.guardian.tell("kill")

    def _check(self) -> None:
        """A daemon is checked while it lives, a oneshot once its main process has ended; without
        a kind, whichever comes first."""
        if self.checker is None or self.check_passed or self.kill_at is not None:
            return
        ended = self.status is not None
        if self.command.kind == "oneshot" and not ended:
            return
        if self.command.kind == "oneshot":
            self._verdict(self._check_once())
        elif (passed := self.checker.poll(self.status, self._pids)) is not None:
            self._verdict(passed)

    def _verdict(self, passed: bool) -> None:
        self.check_passed = passed
        if passed or self.command.kind == "oneshot":
            self.credentials = procfs.credentials(self._pids())
            if self.command.kind is None and self.status is None:
                self._passed_at = time.monotonic()
            else:
                self._stop_passed()
        elif self.command.doubt and not self.doubted and time.monotonic() - self.clock > _DOUBT:
            assert self.checker is not None
            self.doubted = True
            self.command.doubt(self.checker.said)

    def _stop_passed(self) -> None:
        self.passed_alive = bool(self.check_passed) and self.command.kind != "oneshot"
        self.stop()

    def _check_once(self) -> bool:
        """Run the check to its end; a signal ends the wait."""
        assert self.checker is not None
        self.checker.abandon()
        while (passed := self.checker.poll(self.status, self._pids)) is None:
            select.select([self.signals.fd], [], [], _ROUND)
            if not self.empty:
                self._drain()
            if any(number != signal.SIGHUP for number, _ in self.signals.received()):
                self.interrupted = True
                self.checker.abandon()
                return False
        return passed

    def _pids(self) -> list[int]:
        if self.empty:
            return []
        tracer = self.listener.pid if self.listener else 0
        return [pid for pid in descendants(self.guardian.pid) if pid != tracer]

    def _check_after_exit(self) -> None:
        if self.checker is None:
            return
        self.checker.abandon()
        undecided = self.check_passed is None or self.command.kind is None
        if undecided and not self.check_passed and self.command.kind != "daemon":
            self.check_passed = self._check_once()

    @property
    def observer(self) -> str:
        """What sees the checks: ``tracepoint``, ``kprobe+retry``, ``retry`` …"""
        source = self.buffers.source
        seen = [] if source is None else [str(source.observer)]
        return "+".join([*seen, *["retry"] * (self.listener is not None)])

    def _refusals(self, scope: Scope, mac: Mac | None) -> tuple[Refusal, ...]:
        seen = self.tracker.refusals(scope, mac)
        return seen if self.ear is None else with_denials(seen, self.ear.denials(scope))

    def _succeeded(self, status: int | None, *, healthy: bool) -> bool | None:
        """None: nobody knows, since we ended it when its time was up."""
        if self.checker or healthy or status == 0:
            return self.check_passed if self.checker else True
        return None if self.kill_at is not None and not self.interrupted else False

    def recording(
        self,
        scope: Scope,
        held: Held,
        status: int | None,
        *,
        healthy: bool = False,
        mac: Mac | None = None,
    ) -> Recording:
        """What was seen in one scope, as a value. ``status``: as ``subprocess`` gives it.
        ``healthy``: a check of its own was passed. ``mac``: what confines it."""
        if status is not None and status < 0:
            status = 128 - status
        seen = Recording(
            host=Host(
                kernel=os.uname().release,
                arch=os.uname().machine,
                last_cap=procfs.last_cap(),
                observer=self.observer,
                lsm=procfs.active_lsms(),
            ),
            held=held,
            started=self.began.isoformat(timespec="milliseconds"),
            seconds=round(time.monotonic() - self.clock, 3),
            exit_status=status,
            checks=self.tracker.checks(scope),
            refusals=self._refusals(scope, mac),
            lost=self.lost,
            interrupted=self.interrupted,
            succeeded=self._succeeded(status, healthy=healthy),
            io_uring=scope.io_uring,
            setid_exec=scope.setid_exec,
            cautions=(_CROWDED,) if self.tracker.crowded else (),
            fixed_capsets=tuple(
                (program, kept)
                for program, kept in scope.fixed_capsets
                if kept and kept != held.bounding
            ),
        )
        if self.listener is None:
            return seen
        return self.listener.merged(seen)


def _in_foreground() -> bool:
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False
