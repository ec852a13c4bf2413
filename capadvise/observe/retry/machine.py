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

from ptrace.binding import func
from ptrace.binding.linux_struct import iovec_struct, user_regs_struct
from ptrace.ctypes_libc import libc

from capadvise.observe.retry.processors import PROCESSORS, Processor, Registers
from capadvise.observe.retry.thread import Gone

# linux/ptrace.h; python-ptrace does not know these
SEIZE, INTERRUPT, LISTEN, GET_SYSCALL_INFO = 0x4206, 0x4207, 0x4208, 0x420E
GETSIGMASK = 0x420A
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
ENTRY = 1
"""PTRACE_SYSCALL_INFO_ENTRY."""

_NT_PRSTATUS, _NT_ARM_SYSTEM_CALL = 1, 0x404
_FAILED = ctypes.c_ulong(-1).value

_raw = libc.ptrace
_raw.argtypes = (ctypes.c_ulong,) * 4
_raw.restype = ctypes.c_ulong
"""Not ``func.ptrace``: where python-ptrace has its C extension, as in Debian, that loses errno."""
_INFO_SIZE = 88
_MASK_SIZE = 8
_info = ctypes.create_string_buffer(_INFO_SIZE)
_info_at = ctypes.addressof(_info)
_unpack_call = struct.Struct("<B3xIQQQ6Q").unpack_from
_unpack_result = struct.Struct("<24xq").unpack_from
_SI_KERNEL = 0x80  # asm-generic/siginfo.h
_siginfo = ctypes.create_string_buffer(128)
_siginfo_at = ctypes.addressof(_siginfo)
_unpack_signal = struct.Struct("<8xi").unpack_from
_word = ctypes.c_ulong()
_word_at = ctypes.addressof(_word)


def op(request: int, tid: int, address: int = 0, data: int = 0) -> None:
    """One ptrace request. Raises Gone for a thread that is no more, OSError else."""
    if _raw(request, tid, address, data) == _FAILED:
        raise _error(request, tid)


def _error(request: int, tid: int) -> Exception:
    code = ctypes.get_errno()
    if code == errno.ESRCH and request != SEIZE:
        return Gone()
    return OSError(code, os.strerror(code), f"ptrace {request} of {tid}")


def call_info(tid: int) -> tuple[int, ...]:
    """(kind of stop, architecture, instruction pointer, stack pointer, number, six arguments)."""
    if _raw(GET_SYSCALL_INFO, tid, _INFO_SIZE, _info_at) == _FAILED:  # as op, at less cost
        raise _error(GET_SYSCALL_INFO, tid)
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


def is_from_kernel(tid: int) -> bool:
    """Whether the signal that a thread stopped for was sent by nobody but the kernel."""
    op(func.PTRACE_GETSIGINFO, tid, 0, _siginfo_at)
    code: int = _unpack_signal(_siginfo)[0]
    return code == _SI_KERNEL


def blocks(tid: int, number: int) -> bool:
    """Whether a thread has blocked a signal."""
    if _raw(GETSIGMASK, tid, _MASK_SIZE, _word_at) == _FAILED:
        raise _error(GETSIGMASK, tid)
    return bool(_word.value >> (number - 1) & 1)


def get(tid: int) -> Registers:
    """All general registers."""
    if func.HAS_PTRACE_GETREGS:
        op(func.PTRACE_GETREGS, tid, 0, _registers_at)
    else:
        op(func.PTRACE_GETREGSET, tid, _NT_PRSTATUS, _vector_at)
    return list(_words.unpack_from(_registers))


def put(tid: int, registers: Registers) -> None:
    """Put them back."""
    _words.pack_into(_registers, 0, *registers)
    if func.HAS_PTRACE_SETREGS:
        op(func.PTRACE_SETREGS, tid, 0, _registers_at)
    else:
        op(func.PTRACE_SETREGSET, tid, _NT_PRSTATUS, _vector_at)


def exchange(
    processor: Processor, tid: int, registers: Registers, number: int, args: tuple[int, ...] = ()
) -> None:
    """Turn the call that a thread is about to enter into another one; -1: into none."""
    put(tid, processor.exchanged(registers, number, args))
    if processor.entered is None:
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


def here() -> dict[int, Processor]:
    """The processor that this runs on, by each of its ways into the kernel (AUDIT_ARCH_*). Which
    ones there are, ``mode`` says."""
    return {way.arch: way for way in PROCESSORS[platform.machine()]}
