"""Registers and memory of a stopped thread, by python-ptrace: all that depends on the processor.

The fast path (which call, what result) is PTRACE_GET_SYSCALL_INFO, the same everywhere (Linux
5.3); registers are touched only to make a thread call something else, or call again.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from dataclasses import dataclass

from ptrace.binding import func
from ptrace.binding.linux_struct import iovec_struct, user_regs_struct

from capadvise.linux.retry.thread import Gone

# linux/ptrace.h; python-ptrace does not know these
SEIZE, INTERRUPT, LISTEN, GET_SYSCALL_INFO = 0x4206, 0x4207, 0x4208, 0x420E
O_TRACESECCOMP, O_EXITKILL, O_SUSPEND_SECCOMP = 0x80, 1 << 20, 1 << 21
EVENT_SECCOMP, EVENT_STOP = 7, 128
OPTIONS = (
    func.PTRACE_O_TRACESYSGOOD
    | func.PTRACE_O_TRACEFORK
    | func.PTRACE_O_TRACEVFORK
    | func.PTRACE_O_TRACECLONE
    | func.PTRACE_O_TRACEEXEC
    | O_TRACESECCOMP
    | O_EXITKILL
)
CONT, SYSCALL, DETACH = func.PTRACE_CONT, func.PTRACE_SYSCALL, func.PTRACE_DETACH
ENTRY, EXIT = 1, 2
"""PTRACE_SYSCALL_INFO_*."""

_NT_PRSTATUS, _NT_ARM_SYSTEM_CALL = 1, 0x404
_FAILED = ctypes.c_ulong(-1).value
_MINUS_ONE = 0xFFFFFFFFFFFFFFFF

_raw = func._ptrace
_INFO_SIZE = 88
_info = ctypes.create_string_buffer(_INFO_SIZE)
_info_at = ctypes.addressof(_info)
_unpack_call = struct.Struct("<B3xIQQQ6Q").unpack_from
_unpack_result = struct.Struct("<24xq").unpack_from
_word = ctypes.c_ulong()
_word_at = ctypes.addressof(_word)


def op(request: int, tid: int, address: int = 0, data: int = 0) -> None:
    """One ptrace request. Raises Gone for a thread that is no more, OSError else."""
    if _raw(request, tid, address, data) == _FAILED:
        code = ctypes.get_errno()
        if code == errno.ESRCH and request != SEIZE:
            raise Gone
        raise OSError(code, os.strerror(code), f"ptrace {request} of {tid}")


def call_info(tid: int) -> tuple[int, ...]:
    """(kind of stop, architecture, instruction pointer, stack pointer, number, six arguments)."""
    op(GET_SYSCALL_INFO, tid, _INFO_SIZE, _info_at)
    return _unpack_call(_info)


def result(tid: int) -> int:
    """What the call that a thread just came back from returned."""
    op(GET_SYSCALL_INFO, tid, _INFO_SIZE, _info_at)
    value: int = _unpack_result(_info)[0]
    return value


def event_message(tid: int) -> int:
    """The new thread's id at a fork, the former one at an exec."""
    op(func.PTRACE_GETEVENTMSG, tid, 0, _word_at)
    return int(_word.value)


Registers = list[int]


@dataclass(frozen=True, slots=True)
class Processor:
    """How one processor calls the kernel."""

    arch: int
    """AUDIT_ARCH_*, linux/audit.h."""
    pointer: int
    """Index of the instruction pointer among the registers."""
    stack: int
    length: int
    """Bytes of the instruction that enters the kernel."""
    number: int
    """Index of the register that names the call when the instruction runs."""
    args: tuple[int, ...]
    entered: int | None
    """Index of the register that names a call that is under way; None: a register set of its
    own."""
    result_is_first: bool = False
    """The result takes the place of the first argument."""
    reach: int = 1 << 64
    """Addresses that an argument can hold are below."""

    def get(self, tid: int) -> Registers:
        """All general registers."""
        if func.HAS_PTRACE_GETREGS:
            op(func.PTRACE_GETREGS, tid, 0, _registers_at)
        else:
            op(func.PTRACE_GETREGSET, tid, _NT_PRSTATUS, _vector_at)
        return list(_words.unpack_from(_registers))

    def set(self, tid: int, registers: Registers) -> None:
        """Put them back."""
        _words.pack_into(_registers, 0, *registers)
        if func.HAS_PTRACE_SETREGS:
            op(func.PTRACE_SETREGS, tid, 0, _registers_at)
        else:
            op(func.PTRACE_SETREGSET, tid, _NT_PRSTATUS, _vector_at)

    def rewound(self, registers: Registers, number: int, args: tuple[int, ...]) -> Registers:
        """As they were before the instruction that made this call."""
        before = list(registers)
        before[self.pointer] -= self.length
        before[self.number] = number
        if self.result_is_first:
            before[self.args[0]] = args[0]
        if self.entered is not None:  # no call is under way: nothing for the kernel to restart
            before[self.entered] = _MINUS_ONE
        return before

    def calling(self, before: Registers, number: int, args: tuple[int, ...]) -> Registers:
        """So that the same instruction will make another call."""
        other = list(before)
        other[self.number] = number
        for index, value in zip(self.args, args, strict=False):
            other[index] = value
        return other

    def exchange(
        self, tid: int, registers: Registers, number: int, args: tuple[int, ...] = ()
    ) -> None:
        """Turn the call that a thread is about to enter into another one; -1: into none."""
        other = list(registers)
        for index, value in zip(self.args, args, strict=False):
            other[index] = value
        if self.entered is not None:
            other[self.entered] = number & _MINUS_ONE
        self.set(tid, other)
        if self.entered is None:
            call = ctypes.c_int(number)
            vector = iovec_struct()
            vector.buf, vector.len = ctypes.addressof(call), ctypes.sizeof(call)
            op(func.PTRACE_SETREGSET, tid, _NT_ARM_SYSTEM_CALL, ctypes.addressof(vector))


_registers = user_regs_struct()
_registers_at = ctypes.addressof(_registers)
_vector = iovec_struct()
_vector.buf, _vector.len = _registers_at, ctypes.sizeof(_registers)
_vector_at = ctypes.addressof(_vector)
_words = struct.Struct(f"<{ctypes.sizeof(_registers) // 8}Q")

_PROCESSORS = {
    # user_regs_struct of arch/x86/include/asm/user_64.h: r15 … rax(10) rcx rdx rsi rdi orig rip;
    # int 0x80 is as long as syscall, and where sysenter returns to, int 0x80 stands before
    "x86_64": (
        Processor(*(0xC000003E, 16, 19, 2, 10, (14, 13, 12, 7, 9, 8), 15)),
        Processor(*(0x40000003, 16, 19, 2, 10, (5, 11, 12, 13, 14, 4), 15), reach=1 << 32),
    ),
    # user_pt_regs of arch/arm64/include/uapi/asm/ptrace.h: x0 … x30, sp, pc, pstate
    "aarch64": (
        Processor(*(0xC00000B7, 32, 31, 4, 8, (0, 1, 2, 3, 4, 5), None), result_is_first=True),
    ),
}


def here() -> dict[int, Processor]:
    """The processor that this runs on, by each of its ways into the kernel (AUDIT_ARCH_*). Which
    ones there are, ``mode`` says."""
    return {way.arch: way for way in _PROCESSORS[platform.machine()]}
