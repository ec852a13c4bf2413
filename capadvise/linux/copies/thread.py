"""A stopped thread of x86-64: its registers, its memory, and calls that it is made to make."""

from __future__ import annotations

import ctypes
import math
import os
import signal
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from capadvise.linux.kernel import libc, uapi

_NAMES = (
    *("r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx"),
    *("rsi", "rdi", "orig_rax", "rip", "cs", "eflags", "rsp", "ss", "fs_base", "gs_base", "ds"),
    *("es", "fs", "gs"),
)
_AT = {name: at for at, name in enumerate(_NAMES)}
"""struct user_regs_struct, asm/user_64.h."""
_ARGUMENTS = tuple(_AT[name] for name in ("rdi", "rsi", "rdx", "r10", "r8", "r9"))
_WORDS = struct.Struct(f"<{len(_NAMES)}Q")
_SYSCALL_LENGTH = 2
"""Bytes of the instruction ``syscall``."""
_NONE = (1 << 64) - 1
"""-1 in ``orig_rax``: no call is under way, so that the kernel restarts none."""
_IN_CALL = signal.SIGTRAP | 0x80
"""PTRACE_O_TRACESYSGOOD."""
_SPINS, _PAUSE = 10, 0.0001
_OPTIONS = (
    uapi.PTRACE_O_TRACESYSGOOD
    | uapi.PTRACE_O_TRACEFORK
    | uapi.PTRACE_O_TRACEVFORK
    | uapi.PTRACE_O_TRACECLONE
    | uapi.PTRACE_O_EXITKILL
)
_WNOHANG = os.WNOHANG | uapi.WALL
RESTARTS = -512
"""ERESTARTSYS of linux/errno.h: the call was interrupted, and the kernel will make it again."""
_ALL_SIGNALS = (1 << 64) - 1
_CLONE, _WAIT4 = 56, 61  # asm/unistd_64.h
_CLONE_PARENT = 0x8000  # linux/sched.h
_STOPS = 6
"""So often a thread may stop for something else while it makes a call for us."""


class ThreadGone(Exception):
    """The thread has ended, does not stop, or did something else than it was told."""


class CpuRegisters(NamedTuple):
    """All of them, by number: see ``_NAMES``."""

    words: tuple[int, ...]

    def __getattr__(self, name: str) -> int:
        if name not in _AT:
            raise AttributeError(name)
        return self.words[_AT[name]]

    def with_(self, **values: int) -> CpuRegisters:
        """The same, but for these."""
        words = list(self.words)
        for name, value in values.items():
            words[_AT[name]] = value & _NONE
        return CpuRegisters(tuple(words))

    @property
    def args(self) -> tuple[int, ...]:
        """The arguments of a call that is being entered."""
        return tuple(self.words[at] for at in _ARGUMENTS)

    def calling(self, number: int, *args: int) -> CpuRegisters:
        """So that the instruction that made the last call makes this one."""
        words = list(self.words)
        for at, value in zip(_ARGUMENTS, args, strict=False):
            words[at] = value & _NONE
        words[_AT["rip"]] -= _SYSCALL_LENGTH
        words[_AT["rax"]], words[_AT["orig_rax"]] = number, _NONE
        return CpuRegisters(tuple(words))

    def back(self, result: int) -> CpuRegisters:
        """As if the call had just returned this."""
        return self.with_(rax=result, orig_rax=_NONE, rcx=self.rip, r11=self.eflags)


class CopiedThread:
    """A thread that we trace."""

    patience = 1.0
    """Seconds within which it is to stop where it makes a call for us."""
    passed_on: frozenset[int] = frozenset()
    """Signals that are for it even while it makes a call for us."""

    def __init__(self, tid: int, known_as: int = 0) -> None:
        """``known_as``: its pid in the pid namespace of its parent."""
        self.tid, self.known_as = tid, known_as
        self.made = ctypes.c_ulong(0)
        """The last thread that it has made."""
        self._buffer = ctypes.create_string_buffer(_WORDS.size)

    @property
    def registers(self) -> CpuRegisters:
        """Where it is."""
        self.request(uapi.PTRACE_GETREGS, 0, ctypes.addressof(self._buffer))
        return CpuRegisters(_WORDS.unpack(self._buffer.raw))

    @registers.setter
    def registers(self, registers: CpuRegisters) -> None:
        _WORDS.pack_into(self._buffer, 0, *registers.words)
        self.request(uapi.PTRACE_SETREGS, 0, ctypes.addressof(self._buffer))

    def request(self, request: int, address: int = 0, data: int = 0) -> None:
        """One request of ptrace(2). Raises ThreadGone."""
        try:
            libc.ptrace(request, self.tid, address, data)
        except OSError as error:
            raise ThreadGone from error

    def wait(self, seconds: float) -> int:
        """Until it stops; its wait status. Raises ThreadGone where it ends, or does not stop in
        time."""
        end, spins = time.monotonic() + seconds, 0
        while True:
            try:
                pid, status = os.waitpid(self.tid, _WNOHANG)
            except ChildProcessError as error:
                raise ThreadGone from error
            if pid:
                break
            if time.monotonic() > end:
                raise ThreadGone
            spins += 1
            if spins > _SPINS:
                time.sleep(_PAUSE)
        if not os.WIFSTOPPED(status):
            raise ThreadGone
        return status

    def step(self, seconds: float) -> None:
        """Go on to the next entry of a call, or to the end of the one that it is in. Raises
        ThreadGone, also where a signal (SIGSEGV) comes first."""
        self.request(uapi.PTRACE_SYSCALL)
        if os.WSTOPSIG(self.wait(seconds)) != _IN_CALL:
            raise ThreadGone

    def make(self, base: CpuRegisters, number: int, *args: int) -> int:
        """Make a call in its place; its result."""
        self.registers = base.calling(number, *args)
        entered, passed = False, 0
        for _ in range(_STOPS):
            self.request(uapi.PTRACE_SYSCALL, 0, passed)
            status = self.wait(self.patience)
            signalled = os.WSTOPSIG(status)
            passed = signalled if not status >> 16 and signalled in self.passed_on else 0
            if status >> 16 in uapi.PTRACE_EVENTS_OF_FORKS:
                self.request(uapi.PTRACE_GETEVENTMSG, 0, ctypes.addressof(self.made))
            elif signalled == _IN_CALL:
                if entered:
                    return self.registers.rax
                entered = True
        raise ThreadGone

    def fork(self, base: CpuRegisters, *, beside: bool = False) -> CopiedThread:
        """A copy of its process, with this thread alone, stopped at the same place. No signal tells
        of its end. ``beside``: as a child of its parent."""
        self.made.value = 0
        try:
            inside = self.make(base, _CLONE, _CLONE_PARENT if beside else 0, 0, 0, 0, 0)
            if not self.made.value:
                raise ThreadGone
            copy = CopiedThread(self.made.value, inside)
            copy.wait(self.patience)
        except ThreadGone:
            if self.made.value:
                CopiedThread(self.made.value).end()
            raise
        return copy

    def reap(self, base: CpuRegisters, child: CopiedThread) -> None:
        """Collect a child that ``fork`` has made, which has ended."""
        with suppress(ThreadGone):
            self.make(base, _WAIT4, child.known_as, 0, _WNOHANG, 0)

    def end(self) -> None:
        """Kill a copy."""
        with suppress(ProcessLookupError):
            os.kill(self.tid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(self.tid, uapi.WALL)

    def bytes_at(self, address: int, size: int) -> bytes:
        """Its memory; less where less is there."""
        try:
            with open(f"/proc/{self.tid}/mem", "rb", buffering=0) as memory:
                return os.pread(memory.fileno(), size, address)
        except (OSError, OverflowError):
            return b""

    @property
    def folder(self) -> Path:
        """Of it in /proc."""
        return Path(f"/proc/{self.tid}")


class _ProgramsThread(CopiedThread):
    """One that is not ours to kill: it is waited for until it stops, or ends."""

    patience = math.inf
    passed_on = frozenset([signal.SIGSTOP])
    """All others are blocked."""


class HeldThread:
    """A thread that waits in a call that our filter has handed to us, for as long as it is traced.
    Within the block, it can be made to do something else; then it makes the call again."""

    def __init__(self, tid: int, wake: Callable[[], None]) -> None:
        """``wake`` answers its call with RESTARTS: until then nothing but SIGKILL ends its wait.
        May raise OSError, where the thread was killed."""
        self.thread, self._wake = _ProgramsThread(tid), wake
        self._mask: ctypes.c_uint64 | None = None

    def __enter__(self) -> HeldThread:
        libc.ptrace(uapi.PTRACE_SEIZE, self.thread.tid, 0, _OPTIONS)
        signalled = 0
        try:
            self.thread.request(uapi.PTRACE_INTERRUPT)
            self._answer_call()
            status = self.thread.wait(self.thread.patience)
            if not status >> 16:  # a signal came first
                signalled = os.WSTOPSIG(status)
                raise ThreadGone
            self.base = self.thread.registers
            if self.base.rax != RESTARTS & _NONE:  # it was no longer there
                raise ThreadGone
            self._set_mask(self._get_mask())
        except ThreadGone:
            self._let_go(signalled)
            raise
        return self

    def _answer_call(self) -> None:
        try:
            self._wake()
        except OSError as error:
            raise ThreadGone from error

    def __exit__(self, *_: object) -> None:
        with suppress(ThreadGone):
            self.thread.registers = self.base.calling(self.base.orig_rax, *self.base.args)
        self._let_go()

    def _get_mask(self) -> ctypes.c_uint64:
        mask = ctypes.c_uint64()
        self.thread.request(uapi.PTRACE_GETSIGMASK, 8, ctypes.addressof(mask))
        self._mask = mask
        return ctypes.c_uint64(_ALL_SIGNALS)

    def _set_mask(self, mask: ctypes.c_uint64) -> None:
        """No signal is to come in between: its handler would see a call that nobody made."""
        self.thread.request(uapi.PTRACE_SETSIGMASK, 8, ctypes.addressof(mask))

    def _let_go(self, signalled: int = 0) -> None:
        """``signalled``: the signal at which it has stopped, which it gets now."""
        try:
            if self._mask is not None:
                self._set_mask(self._mask)
            self.thread.request(uapi.PTRACE_DETACH, 0, signalled)
        except ThreadGone:  # it was killed: its parent hears of that when we have
            with suppress(ThreadGone):
                self.thread.wait(self.thread.patience)
