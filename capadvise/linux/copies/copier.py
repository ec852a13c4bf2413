"""The process that is asked about the target's calls, and makes copies. It lives as long as there
is anybody who could ask.

A call that is not tried, or has been tried, goes on as it is (SECCOMP_USER_NOTIF_FLAG_CONTINUE): we
never answer it ourselves, so that nothing depends on what we have read of it. One that is to be
tried is interrupted, and comes back.
"""

from __future__ import annotations

import fcntl
import os
import select
import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import NamedTuple

from capadvise.linux.copies.difference import MemoryRange, mappings
from capadvise.linux.copies.free import is_free
from capadvise.linux.copies.limits import TryLimits
from capadvise.linux.copies.thread import RESTARTS, CopiedThread, HeldThread, ThreadGone
from capadvise.linux.copies.trial import CopyOutcome, Reacting, compare, fork_apart
from capadvise.linux.copies.watched import ARCH, adopts, variant, watched
from capadvise.linux.kernel import json_lines, own_caps, procfs, uapi

_KEPT = frozenset([2, 5, 19])
"""DAC_READ_SEARCH, for the memory of other users' processes in /proc, KILL and SYS_PTRACE."""
_NICE = -10
_TURN = 0.0005
"""Seconds after which the receiving thread has its turn."""
_QUESTION = struct.Struct("<QIIiIQ6Q")
"""struct seccomp_notif, linux/seccomp.h."""
_ANSWER = struct.Struct("<QqiI")
"""struct seccomp_notif_resp."""
_MOST_MEMORY = 1 << 19
"""KiB: copying the page tables of a larger process would stop it for long."""
_COMES_BACK = 0.05
"""Seconds that a released thread may take to ask again."""
_MOST_SHARED = 64
"""Ranges of memory that others see: each is to be protected from a copy."""
_STACK = 512
"""Bytes of the stack in which return addresses are looked for."""


class AskedCall(NamedTuple):
    """A call that waits for an answer."""

    ident: int
    tid: int
    call: str
    """Empty: no copies are made at it."""
    which: int
    pointer: int
    args: tuple[int, ...]


def serve(listener: int, report: int) -> None:
    """Answer until nobody is left who could ask."""
    with suppress(OSError):  # while it decides, the program waits
        os.setpriority(os.PRIO_PROCESS, 0, _NICE)
    own_caps.keep(_KEPT)
    json_lines.send(report, {"copier": os.getpid()})
    Copier(listener, report).run()


class Copier:
    """The loop."""

    def __init__(self, listener: int, report: int) -> None:
        self._listener, self._report = listener, report
        self._limits = TryLimits()
        self._again: set[int] = set()
        """Threads whose call comes back: it was tried."""
        self._asked: SimpleQueue[AskedCall | None] = SimpleQueue()
        """None: nobody is left who could ask."""
        self._later: deque[AskedCall | None] = deque()
        self._copies: list[int] = []
        """Those that live: a call that they ask about is to be made."""
        self._is_adopted = False
        """A process of the target may become the parent of copies, which are orphans."""

    def run(self) -> None:
        """Until nobody is left."""
        with suppress(OSError):  # before Linux 6.6 the answer takes longer
            fcntl.ioctl(
                self._listener,
                uapi.SECCOMP_IOCTL_NOTIF_SET_FLAGS,
                uapi.SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP,
            )
        sys.setswitchinterval(_TURN)
        receiver = threading.Thread(target=self._receive, daemon=True)
        try:
            receiver.start()
        except RuntimeError:  # there may be no further thread: then no copies are made
            for each in self._questions():
                self._let_go_on(each)
            return
        while (question := self._later.popleft() if self._later else self._asked.get()) is not None:
            with suppress(OSError):  # whoever asked was killed, or interrupted
                self._answer(question)

    def _receive(self) -> None:
        """At once, whatever else is done: a signal interrupts a call until its question was
        received."""
        for question in self._questions():
            if question.tid in self._copies:
                with suppress(OSError):
                    self._let_go_on(question)
            else:
                self._asked.put(question)
        self._asked.put(None)

    def _questions(self) -> Iterator[AskedCall]:
        """Until nobody is left who could ask."""
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        while not any(event & select.POLLHUP for _, event in poll.poll()):
            with suppress(OSError):  # whoever asked was killed, or interrupted
                yield self._next()

    def _next(self) -> AskedCall:
        """The next question."""
        buffer = bytearray(_QUESTION.size)
        fcntl.ioctl(self._listener, uapi.SECCOMP_IOCTL_NOTIF_RECV, buffer)
        ident, tid, _, number, arch, pointer, *args = _QUESTION.unpack(buffer)
        call = watched(number, tuple(args)) if arch == ARCH else None
        self._is_adopted |= adopts(number, tuple(args))
        which = variant(call, tuple(args)) if call else 0
        return AskedCall(ident, tid, call or "", which, pointer, tuple(args))

    def _answer(self, question: AskedCall) -> None:
        if question.tid in self._again:
            self._again.discard(question.tid)
        elif (
            question.call
            and self._limits.is_looked_at(question.tid, question.call, question.pointer)
            and self._look(question)
        ):
            return
        self._let_go_on(question)

    def _let_go_on(self, question: AskedCall) -> None:
        self._send(question.ident, 0, uapi.SECCOMP_USER_NOTIF_FLAG_CONTINUE)

    def _send(self, ident: int, error: int, flags: int) -> None:
        answer = _ANSWER.pack(ident, 0, error, flags)
        fcntl.ioctl(self._listener, uapi.SECCOMP_IOCTL_NOTIF_SEND, bytearray(answer))

    def _look(self, question: AskedCall) -> bool:
        """Try a call if that is wanted and possible, and tell of it. False: its thread still waits
        for an answer."""
        tid, call = question.tid, question.call
        thread = CopiedThread(tid)
        try:
            status = procfs.parse_status((thread.folder / "status").read_text())
            if not int(status.get("CapEff", "0"), 16):
                return False  # it has nothing that it could be refused
            if is_free(thread, status, call, question.args):
                return False
            program = os.stat(thread.folder / "exe")
            ranges = mappings(thread)
        except (OSError, ValueError):
            self._tell(question, CopyOutcome(Reacting.UNKNOWN))
            return False
        place = _place(thread, question.pointer, ranges)
        whose = (program.st_dev, program.st_ino)
        wants = self._limits.wants(whose, call, place)
        if wants is None:
            return False
        shared = [part for part in ranges if part.is_shared]
        outcome, touched = CopyOutcome(Reacting.UNKNOWN), False
        if wants and not self._is_adopted and _can_be_copied(tid, status, shared):
            outcome, touched = self._try(question, shared)
            while self._copies:
                self._say(ended=self._copies.pop(), until=time.monotonic_ns())
        if outcome.reacting in (Reacting.REACTED, Reacting.UNKNOWN):
            self._limits.settle(whose, call)
        self._tell(question, outcome)
        return touched

    def _try(self, question: AskedCall, shared: list[MemoryRange]) -> tuple[CopyOutcome, bool]:
        """The outcome, and whether the thread was touched, and has gone on."""
        outcome = CopyOutcome(Reacting.UNKNOWN)
        first: CopiedThread | None = None
        try:
            restart = partial(self._send, question.ident, RESTARTS, 0)
            with HeldThread(question.tid, restart) as held:
                self._say(held=question.tid, since=time.monotonic_ns())
                try:
                    first = fork_apart(held, shared, self._told)
                finally:
                    self._say(freed=question.tid, until=time.monotonic_ns())
        except OSError:  # another process traces it
            return outcome, False
        except ThreadGone:
            return outcome, True
        self._go_on_again(question.tid)
        if first is not None:
            with suppress(ThreadGone):
                outcome = compare(first, held.base, question.call, self._told)
        return outcome, True

    def _go_on_again(self, tid: int) -> None:
        """The interrupted call of a thread comes back as a new question, which is not to wait until
        the copies have ended."""
        self._again.add(tid)
        end = time.monotonic() + _COMES_BACK
        while tid in self._again and (left := end - time.monotonic()) > 0:
            try:
                question = self._asked.get(timeout=left)
            except Empty:
                return
            if question is None or question.tid != tid:
                self._later.append(question)
                continue
            with suppress(OSError):
                self._answer(question)

    def _told(self, pid: int) -> None:
        self._say(copy=pid)
        self._copies.append(pid)

    def _tell(self, question: AskedCall, outcome: CopyOutcome) -> None:
        self._say(
            call={
                "tid": question.tid,
                "call": question.call,
                "which": question.which,
                "outcome": outcome.reacting.name,
                "wrote": outcome.wrote,
            }
        )

    def _say(self, **what: object) -> None:
        json_lines.send(self._report, what)


def _can_be_copied(tid: int, status: dict[str, str], shared: list[MemoryRange]) -> bool:
    """Not where a filter of its own might kill it for a call of ours; not in another pid namespace,
    whose first process would get the copies as children, or a copy would be that process; and not
    where it would take long."""
    return (
        len(shared) <= _MOST_SHARED
        and status.get("Seccomp_filters") == "1"
        and int(status.get("VmRSS", "0").split()[0]) < _MOST_MEMORY
        and _stays_in_pid_namespace(tid)
    )


def _stays_in_pid_namespace(tid: int) -> bool:
    """Whether it is in ours, and what it forks, too."""
    names = [f"{whose}/ns/{kind}" for whose, kind in ((tid, "pid"), (tid, "pid_for_children"))]
    with suppress(OSError):  # a new one without a process
        ours = (procfs.PROC / "self" / "ns" / "pid").readlink()
        return all((procfs.PROC / name).readlink() == ours for name in names)
    return False


def _place(thread: CopiedThread, pointer: int, ranges: list[MemoryRange]) -> tuple[object, ...]:
    """Where in a program a call is made, by the return addresses on its stack. Addresses differ
    from one process to the next: files and offsets do not."""
    code = [r for r in ranges if "x" in r.mode]
    at = _stack_pointer(thread)
    words = struct.iter_unpack("<Q", thread.bytes_at(at, _STACK)) if at else ()
    addresses = [
        (r.inode, word - r.start) for (word,) in words for r in code if r.start <= word < r.end
    ]
    return (pointer & 0xFFF, *addresses)


def _stack_pointer(thread: CopiedThread) -> int:
    """Of a thread that waits in a call: /proc/PID/syscall tells."""
    with suppress(OSError, ValueError, IndexError):
        return int((thread.folder / "syscall").read_text().split()[-2], 16)
    return 0
