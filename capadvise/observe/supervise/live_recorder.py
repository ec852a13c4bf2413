"""The recording in a process of its own, under the live screen.

Reading the trace buffers takes a system call for each page, and in one process with the screen each
of them would wait for Python's lock: events would be lost. Therefore the recorder is forked off
before any thread starts, and judging is done in a third process. The recorder saves the report;
where the screen is killed, it stops the target, saves anyway, and puts the terminal back.

On the pipes: single bytes to the recorder (``g``: go, ``s``: stop; again: kill), pickled
values from it, recordings to the judge, proposals from it.
"""

import contextlib
import fcntl
import gc
import os
import pickle
import select
import struct
import termios
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

from capadvise.catalog import default
from capadvise.judgement.decide import Need, decide_all
from capadvise.judgement.judge import Effect, Judged
from capadvise.model.errors import CapadviseError, Exit
from capadvise.model.health import Health
from capadvise.model.recording import Lost, Recording, Tally
from capadvise.observe.supervise.event_loop import EventLoop, Onlooker, TargetSoFar
from capadvise.observe.supervise.pty import Pty

_EVERY = 0.1
"""Seconds between two looks at the counts; more if a look takes longer than 1/20 of that."""
_JUDGE_EVERY = 0.3
_LOST_EVERY = 1.0
PIPE_SIZE = 1 << 20
"""The size of the pipe to the screen, which holds a whole message: a recorder that waits for a
screen loses events, and a screen can be stopped (SIGSTOP, a debugger)."""


@dataclass(frozen=True, slots=True)
class TargetProgress:
    """One target."""

    name: str
    tallies: tuple[Tally, ...]
    ended: bool = False
    health: Health | None = None
    """The result of its own health check."""
    exit_status: int | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """The recorder's message to the screen, ten times a second. Times are of the monotonic
    clock."""

    began: float = 0.0
    targets: tuple[TargetProgress, ...] = ()
    lost: Lost = field(default_factory=Lost)
    kill_at: float | None = None
    observer: str = ""
    """The name of the observer; empty if there is none yet."""
    health: Health | None = None
    """The result of the user's health check, for all targets."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The reason why there is no report."""

    message: str
    hint: str | None
    code: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The reports are saved."""

    result: Any
    """The result of the job."""
    seconds: float
    targets: tuple[TargetProgress, ...]


Job = Callable[[int, Onlooker], Any]
"""Records to the end and saves the reports; gets the target's end of its terminal, and the
onlooker."""


def judge(recordings: int, proposals: int, ready: int) -> NoReturn:
    """Judge the recordings that come, until the pipe ends. A need is sent with little evidence."""
    try:
        with os.fdopen(recordings, "rb") as coming, contextlib.suppress(EOFError, OSError):
            while True:
                targets: dict[str, tuple[Recording, ...]] = pickle.load(coming)
                judged = {name: decide_all(each, default()) for name, each in targets.items()}
                brief = {
                    name: replace(proposal, needs=tuple(map(_brief, proposal.needs)))
                    for name, proposal in judged.items()
                }
                _send(proposals, brief)
                os.write(ready, b"r")
    finally:  # whatever it was, this child must not go on as the screen
        os._exit(0)


class RecorderProcess:
    """The process that records."""

    def __init__(
        self, orders: int, progress: int, recordings: int, judged: int, *, several: bool
    ) -> None:
        """File descriptors: orders come in, progress goes out; recordings go to the judge, who says
        when it can take another one. ``several``: there can be more than one target."""
        self._several = several
        self._orders, self._progress_fd = orders, progress
        self._recordings, self._judged = recordings, judged
        self._alone = False
        """The screen is gone."""
        self._stops = self._obeyed = 0
        self._next_look = self._next_judgement = self._next_lost = 0.0
        self._judged_at: object = None
        self._lost = Lost()
        self._targets: tuple[TargetProgress, ...] = ()
        self._health: Health | None = None
        self._healths: dict[str, Health] = {}
        """The results of the targets' own health checks."""
        self._began = 0.0
        self._told: Progress | None = None
        for fd in (orders, judged):
            os.set_blocking(fd, False)

    def run(self, job: Job, terminal: Pty) -> NoReturn:
        """Wait for the order to go, record, save, and end."""
        # Signals to the terminal's processes are for the screen; and on a busy machine, the kernel
        # shares out the processors among sessions (CONFIG_SCHED_AUTOGROUP).
        os.setsid()
        gc.freeze()  # all that was there before the fork stays
        code = 1
        try:
            select.select([self._orders], [], [])
            self._read_orders()
            if not self._stops:
                result = job(terminal.inner, self._round)
                self._read_orders()
                if self._alone:
                    terminal.restore()
                self._send(Ended(result, time.monotonic() - self._began, self._targets))
            code = 0
        except CapadviseError as error:
            self._send(Failed(str(error), error.hint, int(error.exit_code)))
        except Exception as error:  # a defect of ours, with its message
            self._send(Failed(repr(error), None, int(Exit.FAILED)))
        finally:
            os._exit(code)

    def _read_orders(self) -> None:
        with contextlib.suppress(BlockingIOError):
            orders = os.read(self._orders, 4096)
            self._stops += orders.count(b"s")
            if not orders and not self._alone:
                self._alone = True
                self._stops += 1

    def _round(self, loop: EventLoop, so_far: Callable[[], Sequence[TargetSoFar]]) -> None:
        now, self._began = time.monotonic(), loop.clock
        self._read_orders()
        if self._stops > self._obeyed:
            loop.order_stop()
            self._obeyed = self._stops
        if now >= self._next_lost:
            self._lost, self._next_lost = loop.sources.lost_so_far(), now + _LOST_EVERY
            if loop.has_check:
                self._health = loop.health
        # Another judgement is due after a new check, or twice as many.
        tracker, names = loop.sources.tracker, tuple(one.name for one in self._targets)
        checks = sum(tally.count for tally in tracker.tallies())
        extent = tracker.distinct, checks.bit_length(), names
        if now >= self._next_judgement and extent != self._judged_at:
            self._judged_at = extent
            self._ask(so_far())
            spent = time.monotonic() - now
            self._next_judgement = now + max(_JUDGE_EVERY, 20 * spent)
        if now >= self._next_look:
            self._count(loop, so_far)
            if not self._alone and not _unread(self._progress_fd):
                progress = self._progress(loop)
                if progress != self._told:  # while nothing happens, nobody is woken
                    self._send(progress)
                    self._told = progress
            self._next_look = now + max(_EVERY, 20 * (time.monotonic() - now))

    def _count(self, loop: EventLoop, so_far: Callable[[], Sequence[TargetSoFar]]) -> None:
        """Count the checks of each target; those of a single target by the tracker itself, which is
        cheaper."""
        if self._several:
            seconds = time.monotonic() - loop.clock
            self._targets = tuple(self._counted(one, seconds) for one in so_far())
        else:
            ended = loop.subject.status is not None and not loop.subject.pids()
            self._targets = (TargetProgress("", loop.sources.tracker.tallies(), ended),)

    def _counted(self, target: TargetSoFar, seconds: float) -> TargetProgress:
        health = None
        if target.health is not None:
            health = target.health.after(self._healths.get(target.name), seconds)
            self._healths[target.name] = health
        tallies = target.tallies()
        return TargetProgress(target.name, tallies, target.ended, health, target.exit_status)

    def _progress(self, loop: EventLoop) -> Progress:
        return Progress(
            loop.clock,
            self._targets,
            self._lost,
            loop.kill_at,
            loop.sources.observer,
            self._health,
        )

    def _ask(self, targets: Sequence[TargetSoFar]) -> None:
        """Have these judged, if the judge has done with those before."""
        try:
            os.read(self._judged, 1)
        except BlockingIOError:
            self._judged_at = None  # ask again
            return
        with contextlib.suppress(OSError):
            _send(self._recordings, {target.name: target.recordings for target in targets})

    def _send(self, value: Progress | Ended | Failed) -> None:
        with contextlib.suppress(OSError):  # nobody reads any more
            _send(self._progress_fd, value)


def _brief(need: Need) -> Need:
    """Reduce a need to two pieces of evidence: one check for all that decide, with their count, and
    one for all that do not."""
    kinds: dict[bool, list[Judged]] = {}
    for judged in need.evidence:  # the deciding ones come first
        kinds.setdefault(judged.effect is Effect.NEEDED, []).append(judged)
    return replace(need, evidence=tuple(map(_summed, kinds.values())))


def _summed(alike: list[Judged]) -> Judged:
    count = sum(judged.check.count for judged in alike)
    return replace(alike[0], check=replace(alike[0].check, count=count))


def _send(fd: int, value: object) -> None:
    with os.fdopen(os.dup(fd), "wb") as out:
        pickle.dump(value, out, protocol=pickle.HIGHEST_PROTOCOL)


def _unread(pipe: int) -> int:
    """Bytes in a pipe that were not read yet."""
    (count,) = struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4))
    return int(count)
