"""The process that is asked about the target's calls, and makes copies. It lives as long as there
is anybody who could ask.

A call that is not tried, or has been tried, goes on as it is (SECCOMP_USER_NOTIF_FLAG_CONTINUE): we
never answer it ourselves, so that nothing depends on what we have read of it.
"""

from __future__ import annotations

import fcntl
import os
import select
import struct
import time
from contextlib import suppress
from functools import partial
from typing import NamedTuple

from capadvise.linux.copies.difference import MemoryRange, mappings
from capadvise.linux.copies.limits import TryLimits, message
from capadvise.linux.copies.thread import CopiedThread, HeldThread, ThreadGone
from capadvise.linux.copies.trial import CopyOutcome, attempt
from capadvise.linux.copies.watched import ARCH, watched
from capadvise.linux.kernel import json_lines, own_caps, procfs, uapi
from capadvise.linux.kernel.syscalls import INTERRUPTED

_KEPT = frozenset([5, 19])
"""KILL, for copies of other users; SYS_PTRACE."""
_QUESTION = struct.Struct("<QIIiIQ6Q")
"""struct seccomp_notif, linux/seccomp.h."""
_ANSWER = struct.Struct("<QqiI")
"""struct seccomp_notif_resp."""
_MOST_MEMORY = 1 << 19
"""KiB: copying the page tables of a larger process would stop it for long."""
_MOST_SHARED = 64
"""Ranges of memory that others see: each is to be protected from a copy."""
_STACK = 512
"""Bytes of the stack in which return addresses are looked for."""


class AskedCall(NamedTuple):
    """A call that waits for an answer."""

    ident: int
    tid: int
    call: str
    pointer: int


def serve(listener: int, report: int) -> None:
    """Answer until nobody is left who could ask."""
    own_caps.keep(_KEPT)
    json_lines.send(report, {"copier": os.getpid()})
    Copier(listener, report).run()


class Copier:
    """The loop."""

    def __init__(self, listener: int, report: int) -> None:
        self._listener, self._report = listener, report
        self._tally = TryLimits()
        self._tried: set[int] = set()
        """Threads that make a call again that was tried."""

    def run(self) -> None:
        """Until nobody is left."""
        with suppress(OSError):  # before Linux 6.6 the answer takes longer
            fcntl.ioctl(
                self._listener,
                uapi.SECCOMP_IOCTL_NOTIF_SET_FLAGS,
                uapi.SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP,
            )
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        while not any(event & select.POLLHUP for _, event in poll.poll()):
            with suppress(OSError):  # whoever asked was killed, or interrupted
                self._answer(self._next())

    def _next(self) -> tuple[AskedCall, bool]:
        """The next question, and whether it is about a call at which copies are made."""
        buffer = bytearray(_QUESTION.size)
        fcntl.ioctl(self._listener, uapi.SECCOMP_IOCTL_NOTIF_RECV, buffer)
        ident, tid, _, number, arch, pointer, *args = _QUESTION.unpack(buffer)
        call = watched(number, tuple(args)) if arch == ARCH else None
        return AskedCall(ident, tid, call or "", pointer), call is not None

    def _answer(self, asked: tuple[AskedCall, bool]) -> None:
        question, copied = asked
        again = question.tid in self._tried
        self._tried.discard(question.tid)
        call, tid = question.call, question.tid
        looked_at = copied and self._tally.is_looked_at(tid, call, question.pointer)
        if looked_at and not again and self._is_tried(question):
            self._tried.add(question.tid)  # its interrupted call comes back, as a new question
            return
        self._send(question.ident, 0, uapi.SECCOMP_USER_NOTIF_FLAG_CONTINUE)

    def _send(self, ident: int, result: int, flags: int) -> None:
        answer = _ANSWER.pack(ident, 0, result, flags)
        fcntl.ioctl(self._listener, uapi.SECCOMP_IOCTL_NOTIF_SEND, bytearray(answer))

    def _is_tried(self, question: AskedCall) -> bool:
        """Try it, if that is wanted and possible, and tell of it. False: the thread was not
        touched."""
        tid, call = question.tid, question.call
        try:
            status = procfs.parse_status((procfs.PROC / str(tid) / "status").read_text())
            if not int(status.get("CapEff", "0"), 16):
                return False  # it has nothing that it could be refused
            program = os.stat(procfs.PROC / str(tid) / "exe")
            ranges = mappings(CopiedThread(tid))
        except (OSError, ValueError):
            return False
        place = _place(CopiedThread(tid), question.pointer, ranges)
        wants = self._tally.wants((program.st_dev, program.st_ino), call, place)
        if wants is None:
            return False
        tried: CopyOutcome | None = None
        touched = False
        wake = partial(self._send, question.ident, INTERRUPTED, 0)
        shared = [part for part in ranges if part.is_shared]
        if wants and _can_be_copied(tid, status, shared):
            with suppress(OSError, ThreadGone), HeldThread(tid, wake) as held:
                touched = True
                self._say(held=tid, since=time.monotonic_ns())
                try:
                    tried = attempt(held, call, shared, _name, lambda pid: self._say(copy=pid))
                finally:
                    self._say(freed=tid, until=time.monotonic_ns())
        self._say(call=message(tid, call, tried))
        return touched

    def _say(self, **what: object) -> None:
        json_lines.send(self._report, what)


def _can_be_copied(tid: int, status: dict[str, str], shared: list[MemoryRange]) -> bool:
    """Not where a filter of its own might kill it for a call of ours, not where the copy would
    come into another pid namespace (of a new one, it would be the first process, and end it), and
    not where it would take long."""
    return (
        len(shared) <= _MOST_SHARED
        and status.get("Seccomp_filters") == "1"
        and int(status.get("VmRSS", "0").split()[0]) < _MOST_MEMORY
        and _stays_in_pid_namespace(tid)
    )


def _stays_in_pid_namespace(tid: int) -> bool:
    """Whether what it forks comes into its own pid namespace."""
    own, children = (procfs.PROC / str(tid) / "ns" / name for name in ("pid", "pid_for_children"))
    with suppress(OSError):  # a new one without a process
        return own.readlink() == children.readlink()
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


def _name(number: int) -> str:
    from capadvise.catalog import default  # at the first copy

    return default().syscalls.name(ARCH, number) or ""
