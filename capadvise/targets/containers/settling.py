"""Noticing that a container without a health check has started: what listens and runs in it no
longer changes. Each trial must run the same."""

import os
import shlex
import struct
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from capadvise.catalog import default
from capadvise.catalog.syscalls import MACHINES
from capadvise.kernel import procfs, serving
from capadvise.kernel.background import Background
from capadvise.kernel.procfs import PROC
from capadvise.kernel.serving import RunningProgram
from capadvise.model.workload import IMPLICIT_CHECK, only_listens
from capadvise.observe.supervise.health_check import IMPLICIT

STEADY = 3.0
"""Seconds without a change; a longer start needs as many again, up to ``_LONGEST``."""
_LONGEST = 10.0
_SERVES = 1 / 3
"""The part of the wait that is enough if the first process itself listens on every port: a script
that started it has come to its exec. Each port must answer."""
_AHEAD = 0.6
"""Seconds before the end of a wait, in which a check is proposed for what goes on so."""
_LOOK_SECONDS = 0.25
_COMPUTES, _HELD_UP = 20.0, 100.0
"""The most seconds of computing that are waited for, as some programs never cease; and of waiting
for a processor or a disk, which on a busy machine makes a start take ten times as long."""
_WAITS = 30.0
"""Seconds in all in which a container that only waits does not count as started: a program in it
sleeps for a short time, or nothing listens though ports are published or exposed."""
_OFTEN = 2
"""A program that has ended this many times comes and goes, like ``sleep`` in a loop."""


class Stability:
    """The changing and the lasting parts of a container, judged by looking at it now and then."""

    def __init__(self) -> None:
        self.began = self.changed = -1.0
        """The times of the first look and of the last change."""
        self._looked = self._computed = self._computes = self._held_up = self._waited = 0.0
        self._waits = _WAITS
        """The rest of the seconds that may be waited."""
        self._naps: dict[RunningProgram, float] = {}
        """When the first sleep of each is over."""
        self._sockets: frozenset[str] = frozenset()
        self._since: dict[RunningProgram, float] = {}
        self._ended: Counter[str] = Counter()

    def look(
        self,
        now: float,
        sockets: frozenset[str],
        running: frozenset[RunningProgram],
        *,
        busy: bool = False,
        computed: float = 0.0,
        naps: Mapping[RunningProgram, float] = MappingProxyType({}),
        expects: bool = False,
    ) -> None:
        """``sockets``: its listening ports. ``busy``: something in it computes, or waits for a
        processor or a disk. ``computed``: its seconds of a processor. ``naps``: its sleepers, and
        their seconds. ``expects``: it must listen on some port."""
        if self.began < 0:
            self.began = self.changed = self._looked = now
        naps_first = self._naps_first(now, naps)
        if busy:
            seconds = now - self._looked
            worked = min(seconds, max(0.0, computed - self._computed))
            self._computes += worked
            self._held_up += seconds - worked
        elif naps_first or (expects and not sockets):
            waited = min(now - self._looked, self._waits)
            self._waits -= waited
            self._waited += waited
        self._looked, self._computed = now, computed
        replaced = _programs(self._since) - _programs(self._since.keys() & running)
        different = _programs(running) - _programs(self._since) | replaced
        if sockets != self._sockets or any(self._ended[one] < _OFTEN for one in different):
            self.changed, self._computes, self._held_up, self._waited = now, 0.0, 0.0, 0.0
        self._ended.update(replaced)
        self._sockets = sockets
        self._since = {one: self._since.get(one, now) for one in running}

    def _naps_first(self, now: float, naps: Mapping[RunningProgram, float]) -> bool:
        """True if something sleeps before the next step of a start. A process that has slept
        before, or of a program that comes and goes, sleeps in a loop."""
        for one, seconds in naps.items():
            if seconds <= _WAITS:
                self._naps.setdefault(one, now + seconds)
        often = Counter(one.program for one in self._naps)
        first = (one for one in naps if often[one.program] <= _OFTEN)
        return any(now <= self._naps.get(one, -1.0) for one in first)

    @property
    def steady(self) -> float:
        """Seconds since the last change, without those in which it was busy or waited."""
        busy = min(_COMPUTES, self._computes) + min(_HELD_UP, self._held_up)
        return self._looked - self.changed - busy - self._waited

    @property
    def lasting(self) -> list[int]:
        """The processes that have been there since the last change."""
        return sorted(one.pid for one, since in self._since.items() if since <= self.changed)


class Settling:
    """One container."""

    def __init__(self) -> None:
        self._next = self._asked = self._asked_after = 0.0
        """The time of the next look, of the last question, and how long nothing had changed
        then."""
        self._stability = Stability()
        self._before: frozenset[RunningProgram] | None = None
        """The programs that ran when a check was asked for."""
        self._provoked: set[tuple[int, int]] = set()
        """Pid and start of the processes that began during a check: servers such as dovecot and
        postfix make them for each connection, and a trial has none until it is asked."""
        self._proposal: Background[str | None] | None = None
        self._waited = self._accepted = False
        """The proposal came after the full wait for a container of which nothing is known; or
        earlier, and nothing has changed since."""

    def look(self, root: int, pids: Callable[[], list[int]], *, expects: bool = False) -> None:
        """``root``: its first process. ``expects``: it is to listen on some port."""
        now, proposal = time.monotonic(), self._proposal
        if now < self._next or self.settled or (proposal and not proposal.ended):
            return
        self._next, seen = now + _LOOK_SECONDS, self._stability
        there = pids()
        ports, running = serving.listening(root, there), self._unprovoked(there)
        seen.look(
            *(now, ports, running),
            busy=any(map(procfs.is_busy, there)),
            computed=sum(map(procfs.computed, there)),
            naps=_napping(running),
            expects=expects,
        )
        wait = max(STEADY, min(_LONGEST, seen.changed - seen.began))
        if seen.changed > self._asked:
            proposal = self._proposal = None  # it took seconds, and is about an earlier state
        if not there or seen.steady <= _SERVES * wait - _AHEAD:
            return
        serves = bool(ports) and ports == serving.listening(root, [root])
        waits = [_SERVES * wait, wait] if serves else [wait]
        left = waits[0] - seen.steady
        if proposal is None:
            asks = left < _AHEAD
        elif (check := proposal.result()) is not None and not only_listens(check):
            asks, self._accepted = False, left < 0
            self._next = min(self._next, now + max(0.0, left))
        else:  # it may not have been ready
            asks = any(self._asked_after <= one < seen.steady for one in waits)
        if asks:
            self._asked, self._asked_after, lasting = now, seen.steady, seen.lasting
            self._waited, self._before = seen.steady > wait, running
            self._proposal = Background(lambda: _proposed(root, lasting))

    def _unprovoked(self, there: list[int]) -> frozenset[RunningProgram]:
        """The programs that run, without those that our own questions have started."""
        running = serving.running(there)
        if self._before is not None:
            before = {(one.pid, one.started) for one in self._before}
            self._provoked |= {(one.pid, one.started) for one in running} - before
            self._before = None
        return frozenset(one for one in running if (one.pid, one.started) not in self._provoked)

    @property
    def settled(self) -> bool:
        """True if it has started, and a check for it is known."""
        ended = self._proposal is not None and self._proposal.ended
        return self._accepted or (self._waited and ended)

    @property
    def check(self) -> str | None:
        """The health check that it passes."""
        return self._proposal.result() if self._proposal and self.settled else None


def _napping(running: Iterable[RunningProgram]) -> dict[RunningProgram, float]:
    return {one: nap for one in running if (nap := sleep_left(one.pid))}


def _programs(running: Iterable[RunningProgram]) -> set[str]:
    return {one.program for one in running}


def _proposed(root: int, pids: list[int]) -> str | None:
    """The proposal of another process: entering the network takes capabilities that we give up."""
    environment = {**os.environ, "PID": str(root), "PIDS": ",".join(map(str, pids))}
    done = subprocess.run([*IMPLICIT, "--propose"], env=environment, capture_output=True, text=True)
    arguments = done.stdout.split()
    if done.returncode or not arguments:
        return None
    return f"${IMPLICIT_CHECK} {shlex.join(arguments)}"


_TIMER_ABSTIME = 1
"""linux/time.h"""
_OF_CLOCK = "clock_nanosleep"
TIME_AT = {"nanosleep": 0, _OF_CLOCK: 2}
"""The calls that sleep, and which argument is the time."""


def sleep_left(pid: int, proc: Path = PROC) -> float:
    """The rest of the sleep of its first thread, in seconds; 0 if it is awake or not traceable."""
    try:
        words = (proc / str(pid) / "syscall").read_text().split()
        number = int(words[0])  # "running" is none
        call = default().syscalls.name(MACHINES.get(os.uname().machine, 0), number)
        if call not in TIME_AT:
            return 0.0
        clock, flags, *_ = (int(word, 16) for word in words[1:])
        with open(proc / str(pid) / "mem", "rb", buffering=0) as memory:
            memory.seek(int(words[1 + TIME_AT[call]], 16))
            whole, billionths = struct.unpack("2q", memory.read(16))
        until = call == _OF_CLOCK and flags & _TIMER_ABSTIME
        left: float = whole + billionths / 1e9 - (time.clock_gettime(clock) if until else 0.0)
    except (OSError, ValueError, IndexError, OverflowError, struct.error):
        return 0.0
    return max(0.0, left)
