"""Traced threads and processes, and the tries after a refusal. Pure: capabilities are bits of a
mask; /proc is read through ``StoppedProcess``."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import combinations
from typing import Protocol

from capadvise.observe.retry.calls import Call
from capadvise.observe.retry.decode import Memory

_PAIRS_OF = 5
"""The most candidates of which pairs are tried: with more, ten tries would become hundreds."""


def bit(cap: int) -> int:
    """The mask of one capability."""
    return 1 << cap


def members(mask: int) -> tuple[int, ...]:
    """The capabilities of a mask."""
    return tuple(number for number in range(mask.bit_length()) if mask >> number & 1)


class Attempts:
    """The tries after one refusal of one call. A call that fails leaves nothing behind, so that any
    number of tries may fail; the first that succeeds is the last. Smaller sets therefore come
    first.

    ``base`` is raised already; ``limit`` is the program's own effective set. The last try is with
    all of it: its answer is the one that the program gets.
    """

    def __init__(
        self, error: int, candidates: Sequence[int], base: int, limit: int, *, capture: bool = False
    ) -> None:
        self.error, self.base, self.limit = error, base, limit
        self.candidates = tuple(c for c in candidates if limit >> c & 1 and not base >> c & 1)
        self.current = base
        self.exact = False
        """The current try shows which capability it was."""
        self.changes = True
        """The call would change something."""
        self._capture = capture
        self._order = iter(()) if base == limit else self._masks()

    def _masks(self) -> Iterator[int]:
        self.exact = True
        if not self._capture:
            for size in (1, 2) if len(self.candidates) <= _PAIRS_OF else (1,):
                for chosen in combinations(self.candidates, size):
                    yield self.base | sum(map(bit, chosen))
            if self.current == self.limit:
                return
            self.exact = False
        yield self.limit

    def next(self) -> int | None:
        """The set for the next try; None if the refusal stands."""
        mask = next(self._order, None)
        if mask is not None:
            self.current = mask
        return mask

    @property
    def shown(self) -> tuple[int, ...]:
        """The capabilities that the current try shows to be needed, if it made the difference."""
        if self._capture and self.current == self.limit:
            return self.candidates  # nothing else can have been it: the error names no other
        return members(self.current & ~self.base)


def order(
    table: Sequence[int], denied: Sequence[int] | None, last: int, *, in_table: bool
) -> tuple[int, ...]:
    """The candidates for a refusal.

    ``denied``: the capabilities that the kernel refused this thread in this call, in order; None if
    that was not observed. ``last`` (SYS_ADMIN) is never observed, since it comes in floods: it is
    taken from the table, at the end.
    """
    if denied is None:
        return tuple(table)
    asked = tuple(dict.fromkeys(cap for cap in denied if cap != last))
    return (*asked, last) if last in table or not in_table else asked


DAC_OVERRIDE, DAC_READ_SEARCH, FSETID, SETGID, SETUID = 1, 2, 4, 6, 7
SYS_ADMIN, SETFCAP, BLOCK_SUSPEND = 21, 31, 36
KEPT = bit(FSETID) | bit(BLOCK_SUSPEND)
"""They stay effective: their refusal is silent (set-id bits at a write, EPOLLWAKEUP)."""


class Gone(Exception):
    """The thread was killed; its end will be reported."""


class CallStep(IntEnum):
    """The state of a thread between two stops."""

    FREE = 0
    """In the program."""
    CALL = 1
    """In a call of the program's, whose result will be looked at."""
    INJECT = 2
    """About to make, or in, a capset of ours."""
    SKIP = 3
    """At the exit of a call that was turned into none."""
    AGAIN = 4
    """Back before a call that it is to make again."""
    ARMED = 5
    """In, or after, a call of the program's that stops it only if it fails."""


class StoppedProcess(Memory, Protocol):
    """A stopped process, as /proc shows it."""

    def write(self, address: int, data: bytes) -> bool:
        """Write to its memory; False if that fails."""

    def link(self, fd: int) -> str:
        """The target of a descriptor; empty if there is none. -1: the working directory."""

    def descriptors(self) -> list[int]:
        """The open descriptors."""

    def file(self, at: int | None, path: bytes, *, follow: bool = True) -> os.stat_result | None:
        """The status of a path below a descriptor or below the working directory (None), links
        followed or not. An empty path is the descriptor itself."""

    def has_capabilities(self, at: int | None, path: bytes, *, follow: bool = True) -> bool:
        """True if such a file has file capabilities."""

    def status(self, tid: int) -> bytes:
        """``/proc/TID/status`` of one of its threads. Raises Gone."""

    def user_namespace(self, tid: int) -> str:
        """The user namespace of one of its threads; empty when it cannot be read."""

    def spare_memory(self, size: int, reach: int) -> int:
        """An address below ``reach`` of spare bytes that can be read and written; 0 if there is
        none."""

    def close(self) -> None:
        """Close the memory file, which an exec or the end replaces."""


@dataclass(slots=True)
class Process:
    """The state that the threads of a process share."""

    pid: int
    proc: StoppedProcess
    procfs_fds: dict[int, bool] = field(default_factory=dict)
    """Descriptors of files below /proc and /sys; True: it shows less without an error."""
    in_pseudo: bool = False
    """The working directory lies there."""
    threads: int = 0

    def fork(self, pid: int, proc: StoppedProcess) -> Process:
        """A child has the same descriptors and directory, and memory of its own."""
        return Process(pid, proc, dict(self.procfs_fds), self.in_pseudo)

    def look_for_pseudo(self) -> None:
        """Descriptors that it was started with."""
        self.procfs_fds |= {
            fd: False for fd in self.proc.descriptors() if is_pseudo(self.proc.link(fd))
        }
        self.in_pseudo = is_pseudo(self.proc.link(-1))

    def exec(self) -> None:
        """New memory; descriptors that were to be closed are closed."""
        self.proc.close()
        self.procfs_fds = {
            fd: silent for fd, silent in self.procfs_fds.items() if self.proc.link(fd)
        }


def is_pseudo(path: str) -> bool:
    """True if a path lies below /proc or /sys."""
    return path.startswith(("/proc/", "/sys/")) or path in ("/proc", "/sys")


@dataclass(slots=True)
class Thread:
    """A thread: its capability sets, its present call and the tries for that."""

    tid: int
    process: Process
    program: str = ""
    permitted: int = 0
    inheritable: int = 0
    virtual: int = 0
    """The effective set that the program believes to have: the one it would have without us."""
    effective: int = 0
    """Its effective set as the kernel has it now."""
    uid: int = 0
    """Effective."""
    followed: bool = False
    """After the target's exec, and not in a user namespace of its own making."""
    filtered: bool = False
    """It has a seccomp filter of its own."""
    injection_disabled: bool = False
    """Nothing can be injected any more: its sets stay as they are."""
    handed: int = 0
    """The permitted set that it set last, perhaps for the program that it executes next."""
    step: CallStep = CallStep.FREE
    entered: bool = False
    """The injected call has been entered: the next stop is its end."""
    call: Call | None = None
    arch: int = 0
    """The way into the kernel that the call takes: AUDIT_ARCH_*."""
    number: int = -1
    args: tuple[int, ...] = ()
    pointer: int = 0
    stack: int = 0
    began: int = 0
    """Nanoseconds (CLOCK_MONOTONIC) at the entry."""
    path: bytes = b""
    attempts: Attempts | None = None
    denied: list[int] | None = None
    """The capabilities that the kernel denied its call when it failed last; None: not observed."""
    proven: tuple[tuple[int, int], ...] = ()
    """(capability, errno without it) that this call was already shown to need: its refusal
    changed to another one."""
    before: list[int] = field(default_factory=list)
    """Registers as they were before the instruction of the call."""
    saved: tuple[int, bytes] | None = None
    """Memory that an injected call's arguments lie on."""
    injecting: int = 0
    failures: int = 0

    @property
    def present(self) -> Call:
        """The call that it makes, or has just made."""
        assert self.call is not None
        return self.call

    def child(self, tid: int, process: Process) -> Thread:
        """A new thread or process, with the state that it inherits."""
        return Thread(
            tid,
            process,
            self.program,
            self.permitted,
            self.inheritable,
            self.virtual,
            self.effective,
            self.uid,
            self.followed,
            self.filtered,
            self.injection_disabled,
            self.handed,
        )

    def lacked(self) -> tuple[int, ...]:
        """The capabilities that its call was denied when it failed last, and SYS_ADMIN if the
        program lacks it: denials of that are not recorded."""
        perhaps = (SYS_ADMIN,) if not self.virtual >> SYS_ADMIN & 1 else ()
        return (*dict.fromkeys(self.denied or ()), *perhaps)

    def reload(self) -> None:
        """Read the user and the capability sets from the kernel. Raises Gone."""
        status = self.process.proc.status(self.tid)
        self.uid, self.inheritable, self.permitted, self.effective = parse_status(status)


def after_uids(virtual: int, permitted: int, before: int, after: int, uid: int, now: int) -> int:
    """The effective set that a program would have after a successful setuid() or one of its
    variants (cap_emulate_setxuid): leaving user 0 clears it, becoming user 0 fills it, and with
    SECBIT_NO_SETUID_FIXUP it stays. ``before`` and ``after`` are the kernel's set, with our raised
    capabilities, before and after the call; ``uid`` and ``now`` the effective user ids."""
    if uid == 0 and now != 0 and not after:
        return 0
    if after != before:
        return after
    return virtual & permitted


_STATUS = re.compile(
    rb"^Uid:\t\d+\t(\d+).*^CapInh:\t(\w+)\nCapPrm:\t(\w+)\nCapEff:\t(\w+)", re.DOTALL | re.MULTILINE
)


def parse_status(text: bytes) -> tuple[int, int, int, int]:
    """(effective uid, inheritable, permitted, effective) of ``/proc/TID/status``."""
    fields = _STATUS.search(text)
    if fields is None:  # a process that has just ended
        raise Gone
    uid, *masks = fields.groups()
    inheritable, permitted, effective = (int(mask, 16) for mask in masks)
    return int(uid), inheritable, permitted, effective
