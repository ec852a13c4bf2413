"""The recording in a process of its own, under the live screen.

Reading the trace buffers takes a system call for each page, and in one process with the screen each
of them would wait for Python's lock: events would be lost. So the recorder is forked off before any
thread starts, and judging is done in a third process. The recorder saves the report; where the
screen is killed, it stops the target, saves all the same, and puts the terminal back.

On the pipes: single bytes to the recorder (``g``: go, ``s``: stop; again: kill), pickled
values from it, recordings to the judge, proposals from it.
"""

from __future__ import annotations

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
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from capadvise.catalog import default
from capadvise.decide import Need, decide_all
from capadvise.errors import CapadviseError
from capadvise.judge import Effect
from capadvise.linux.supervise.command import Command
from capadvise.linux.supervise.event_loop import EventLoop
from capadvise.linux.supervise.observation import Observation
from capadvise.linux.supervise.pty import Terminal
from capadvise.linux.supervise.record import observe
from capadvise.recording import Lost, Recording, Tally

_EVERY = 0.1
"""Seconds between two looks at what was counted; more, where a look takes longer than 1/20 of it.
"""
_JUDGE_EVERY = 0.3
_LOST_EVERY = 1.0
PIPE_SIZE = 1 << 20
"""Of the pipe to the screen, which takes one message whole: a recorder that waits for a screen to
read loses events, and a screen can be stopped (SIGSTOP, a debugger)."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What the recorder tells ten times a second. Times are of the monotonic clock."""

    began: float
    tallies: tuple[Tally, ...]
    lost: Lost
    kill_at: float | None
    exited: bool
    """The target has ended; what it left may go on."""
    observer: str = ""
    """What sees the checks; empty where there is none yet."""


@dataclass(frozen=True, slots=True)
class Failed:
    """Why there is no report."""

    message: str
    hint: str | None
    code: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The report is saved."""

    result: Any
    """What the function that saved it returned."""
    check_passed: bool | None
    check_said: str
    seconds: float
    tallies: tuple[Tally, ...]


def judge(recordings: int, proposals: int, ready: int) -> NoReturn:
    """Judge what comes, until nothing more will. A need goes with one piece of evidence."""
    with os.fdopen(recordings, "rb") as coming, contextlib.suppress(EOFError, OSError):
        while True:
            proposal = decide_all(pickle.load(coming), default())
            needs = tuple(map(_brief, proposal.needs))
            _send(proposals, replace(proposal, needs=needs))
            os.write(ready, b"r")
    os._exit(0)


class RecorderProcess:
    """The process that records."""

    def __init__(self, orders: int, progress: int, recordings: int, judged: int) -> None:
        """File descriptors: orders come in, progress goes out; recordings go to the judge, who says
        when it can take another one."""
        self._orders, self._progress_fd = orders, progress
        self._recordings, self._judged = recordings, judged
        self._alone = False
        """The screen is gone."""
        self._stops = self._obeyed = 0
        self._next_look = self._next_judgement = self._next_lost = 0.0
        self._distinct = 0
        self._lost = Lost()
        self._tallies: Callable[[], tuple[Tally, ...]] = tuple
        for fd in (orders, judged):
            os.set_blocking(fd, False)

    def run(
        self,
        command: Command,
        terminal: Terminal,
        save: Callable[[Observation], Any],
    ) -> NoReturn:
        """Wait for the order to go, record, save, and end."""
        # What is sent to the terminal's processes is for the screen; and on a busy machine, the
        # kernel shares out the processors among sessions (CONFIG_SCHED_AUTOGROUP).
        os.setsid()
        gc.freeze()  # all that was there before the fork stays
        code = 1
        try:
            select.select([self._orders], [], [])
            self._read_orders()
            if not self._stops:
                result = self._record(replace(command, terminal=terminal.inner), save)
                self._read_orders()
                if self._alone:
                    terminal.restore()
                self._send(result)
            code = 0
        except CapadviseError as error:
            self._send(Failed(str(error), error.hint, int(error.exit_code)))
        finally:
            os._exit(code)

    def _record(self, command: Command, save: Callable[[Observation], Any]) -> Ended:
        seen = observe(command, meanwhile=default().preload, onlooker=self._round)
        seconds, tallies = seen.recording.seconds, self._tallies()
        return Ended(save(seen), seen.check_passed, seen.check_said, seconds, tallies)

    def _read_orders(self) -> None:
        with contextlib.suppress(BlockingIOError):
            orders = os.read(self._orders, 4096)
            self._stops += orders.count(b"s")
            if not orders and not self._alone:
                self._alone = True
                self._stops += 1

    def _round(self, loop: EventLoop, recordings: Callable[[], Sequence[Recording]]) -> None:
        """Between two rounds of reading."""
        now = time.monotonic()
        self._tallies = loop.sources.tracker.tallies
        self._read_orders()
        if self._stops > self._obeyed:
            loop.order_stop()
            self._obeyed = self._stops
        if now >= self._next_lost:
            self._lost, self._next_lost = loop.sources.lost_so_far(), now + _LOST_EVERY
        if now >= self._next_look:
            if not self._alone and not _unread(self._progress_fd):
                self._send(self._progress(loop))
            self._next_look = now + max(_EVERY, 20 * (time.monotonic() - now))
        distinct = loop.sources.tracker.distinct
        if now >= self._next_judgement and distinct != self._distinct:
            self._distinct = distinct
            self._ask(recordings())
            spent = time.monotonic() - now
            self._next_judgement = now + max(_JUDGE_EVERY, 20 * spent)

    def _progress(self, loop: EventLoop) -> Progress:
        return Progress(
            loop.clock,
            loop.sources.tracker.tallies(),
            self._lost,
            loop.kill_at,
            loop.subject.status is not None,
            loop.sources.observer,
        )

    def _ask(self, recordings: Sequence[Recording]) -> None:
        """Have this judged, if the judge has done with the one before."""
        try:
            os.read(self._judged, 1)
        except BlockingIOError:
            self._distinct = 0  # ask again
            return
        with contextlib.suppress(OSError):
            _send(self._recordings, tuple(recordings))

    def _send(self, value: Progress | Ended | Failed) -> None:
        with contextlib.suppress(OSError):  # nobody reads any more
            _send(self._progress_fd, value)


def _brief(need: Need) -> Need:
    """With one piece of evidence: the deciding check, counted as often as all that decide."""
    deciding = [judged for judged in need.evidence if judged.effect is Effect.USED]
    if not deciding:
        return replace(need, evidence=need.evidence[:1])
    check = replace(deciding[0].check, count=sum(judged.check.count for judged in deciding))
    return replace(need, evidence=(replace(deciding[0], check=check),))


def _send(fd: int, value: object) -> None:
    with os.fdopen(os.dup(fd), "wb") as out:
        pickle.dump(value, out, protocol=pickle.HIGHEST_PROTOCOL)


def _unread(pipe: int) -> int:
    """Bytes in a pipe that were not read yet."""
    (count,) = struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4))
    return int(count)
