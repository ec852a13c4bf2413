"""Registers of a stopped thread, by python-ptrace, and capsets that it is made to call.

The fast path (which call, what result) is PTRACE_GET_SYSCALL_INFO, the same everywhere (Linux
5.3); registers are touched only to make a thread call something else, or call again.
"""

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterator, Mapping

from ptrace.binding import func
from ptrace.binding.linux_struct import iovec_struct, user_regs_struct
from ptrace.ctypes_libc import libc

from capadvise.kernel.uapi import LINUX_CAPABILITY_VERSION_3
from capadvise.observe.retry.processors import PROCESSORS, Processor, Registers
from capadvise.observe.retry.thread import CallStep, Gone, Thread
from capadvise.observe.retry.tree import Tree

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
    """Make one ptrace request. Raises Gone for a thread that has ended, OSError else."""
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
    """The result of the call that a thread just returned from."""
    op(GET_SYSCALL_INFO, tid, _INFO_SIZE, _info_at)
    value: int = _unpack_result(_info)[0]
    return value


def event_message(tid: int) -> int:
    """The new thread's id at a fork, the former one at an exec."""
    op(func.PTRACE_GETEVENTMSG, tid, 0, _word_at)
    return int(_word.value)


def is_from_kernel(tid: int) -> bool:
    """True if the kernel itself sent the signal that a thread stopped for."""
    op(func.PTRACE_GETSIGINFO, tid, 0, _siginfo_at)
    code: int = _unpack_signal(_siginfo)[0]
    return code == _SI_KERNEL


def blocks(tid: int, number: int) -> bool:
    """True if a thread has blocked a signal."""
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
    """The processor that this runs on, by each of its ways into the kernel (AUDIT_ARCH_*); see
    ``mode.MACHINES``."""
    return {way.arch: way for way in PROCESSORS[platform.machine()]}


_FAILURES = 3
"""How many capsets of ours may fail in a thread before it is left alone."""
_HEADER = LINUX_CAPABILITY_VERSION_3.to_bytes(4, "little") + bytes(4)
"""_LINUX_CAPABILITY_VERSION_3, for the calling thread itself."""
_BELOW_STACK = 512
"""Bytes below the stack pointer where the arguments are put: beyond the red zone (x86-64: 128)."""


class Injector:
    """Makes any thread call capset, before or after a call of its own, which it makes (again) then.
    It uses the thread's own instruction that enters the kernel, with other registers; memory for
    the arguments is taken below the stack, and given back."""

    def __init__(
        self, processors: Mapping[int, Processor], tree: Tree, capsets: Mapping[int, int]
    ) -> None:
        """``processors`` and the numbers of capset: by way into the kernel."""
        self.processors, self.tree, self.capsets = processors, tree, capsets
        self.native = next(iter(processors))

    def resume(self, thread: Thread, number: int = 0) -> None:
        """Let a thread run to the next stop of interest; ``number``: with this signal."""
        request = SYSCALL if self.tree.stops_at_each_call(thread) else CONT
        op(request, thread.tid, 0, number)

    def before(self, thread: Thread, mask: int) -> None:
        """Before a call: change the effective set, then let it begin again."""
        thread.injecting = mask
        processor = self.processors[thread.arch]
        if thread.filtered or not (arguments := self.arguments(thread, mask)):
            # Its own filter would check the exchanged call: leave the call first.
            if thread.filtered:
                self.suspend(thread, True)
            exchange(processor, thread.tid, get(thread.tid), -1)
            thread.step = CallStep.SKIP
            op(SYSCALL, thread.tid)
            return
        registers = get(thread.tid)
        thread.before = processor.rewound(registers, thread.number, thread.args)
        capset = self.capsets[thread.arch]
        exchange(processor, thread.tid, registers, capset, arguments)
        thread.step, thread.entered = CallStep.INJECT, True
        op(SYSCALL, thread.tid)

    def after(self, thread: Thread, mask: int) -> None:
        """After a call: change the effective set, then make the call again."""
        processor = self.processors[thread.arch]
        registers = get(thread.tid)
        thread.before = processor.rewound(registers, thread.number, thread.args)
        thread.injecting = mask
        arguments = self.arguments(thread, mask)
        if not arguments:
            thread.injection_disabled = True
            self.again(thread)  # first: it may be gone, and its memory with it
            self.tree.evidence.send_once(injection_disabled=thread.program)
            return
        calling = processor.calling(thread.before, self.capsets[thread.arch], arguments)
        put(thread.tid, calling)
        thread.step, thread.entered = CallStep.INJECT, False
        if thread.filtered:
            self.suspend(thread, True)
        every = thread.filtered or self.tree.every_call
        op(SYSCALL if every else CONT, thread.tid)

    def arguments(self, thread: Thread, mask: int) -> tuple[int, int] | None:
        """Put the arguments of a capset into the thread's memory; None where that cannot be."""
        sets = (mask, thread.permitted, thread.inheritable)
        words = [s & 0xFFFFFFFF for s in sets] + [s >> 32 for s in sets]
        data = _HEADER + b"".join(word.to_bytes(4, "little") for word in words)
        for address in self.places(thread, len(data)):
            old = thread.process.proc.raw(address, len(data))
            if len(old) == len(data) and thread.process.proc.write(address, data):
                thread.saved = (address, old)
                return address, address + len(_HEADER)
        return None

    def places(self, thread: Thread, size: int) -> Iterator[int]:
        """Addresses for the arguments, the best first."""
        reach = self.processors[thread.arch].reach
        if thread.stack < reach:
            yield (thread.stack - _BELOW_STACK) & ~15
            yield thread.stack & ~15
        yield thread.process.proc.spare_memory(size, reach)

    def restore(self, thread: Thread) -> None:
        """Restore memory and registers as they were before our capset."""
        if thread.saved is not None:
            thread.process.proc.write(*thread.saved)
            thread.saved = None
        put(thread.tid, thread.before)
        if thread.filtered:
            self.suspend(thread, False)

    def injected(self, thread: Thread, result: int) -> None:
        """Our capset has returned."""
        self.restore(thread)
        if result == 0:
            thread.effective = thread.injecting
        else:  # its sets are not what we believed
            thread.reload()
            thread.virtual &= thread.permitted
            thread.failures += 1
            if thread.failures == _FAILURES:
                thread.injection_disabled = True
                self.tree.evidence.send_once(injection_disabled=thread.program)
        thread.step = CallStep.AGAIN
        self.resume(thread)

    def again(self, thread: Thread) -> None:
        """Make the call once more, without a change of sets."""
        put(thread.tid, thread.before)
        thread.step = CallStep.AGAIN
        self.resume(thread)

    def try_suspending(self, thread: Thread) -> None:
        """Find out if filters can be suspended: that takes CAP_SYS_ADMIN and
        CONFIG_CHECKPOINT_RESTORE."""
        try:
            self.suspend(thread, True)
        except OSError:
            self.tree.can_suspend = False
        self.suspend(thread, False)

    def suspend(self, thread: Thread, on: bool) -> None:
        """Suspend the thread's seccomp filters, or restore them."""
        more = O_SUSPEND_SECCOMP if on else 0
        op(func.PTRACE_SETOPTIONS, thread.tid, 0, OPTIONS | more)
