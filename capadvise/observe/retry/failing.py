"""Stopping a thread at the end of a call only if that failed: a BPF program does it.

Most calls succeed, and show nothing then. If only a failure of a call matters, the tracer arms the
thread. The program runs at the end of each system call of this machine: if the armed call fails, it
disarms the thread, and sends it a signal if a missing capability can explain the error. A thread
that is still armed at its next stop succeeded.

The signal is SIGSTKFLT: the kernel and libraries never use it, no other signal removes a pending
one, and it reaches a traced thread even if that ignores it. It is sent to the thread alone, which
stops for it before its next instruction, and the tracer suppresses it. Only a thread that blocks it
would go on: the tracer does not arm such a thread. Two gaps remain:

- Where a signal for this thread alone comes while its armed call fails, and its handler blocks all
  signals, the handler can see SIGSTKFLT pending.
- Newer kernels send it by an interrupt to their own processor (irq_work in bpf_trace.c). If that
  came later than the thread's next instruction, the failure would be missed: of 20,000, none was.
"""

import mmap
import os
import signal
from collections.abc import Collection
from pathlib import Path

from capadvise.kernel import libc, procfs, uapi
from capadvise.observe.ftrace.bpf_assembler import FRAME, GROUP, Assembler

SIGNAL = signal.SIGSTKFLT
_CALLS, _ARMED = 0x7FFF, 0x8000
"""The bits of a call's number, and what marks that a thread is armed."""
_PID_TGID, _READ_KERNEL, _SEND_SIGNAL_THREAD = 14, 113, 117


class FailingCalls:
    """The threads to be stopped if their present call fails."""

    def __init__(self, errors: Collection[int], number: int) -> None:
        """``number``: where the number of a call stands in its registers (struct pt_regs). Raises
        OSError where the kernel or its lockdown refuses, and where it does not name threads as we
        do: in a pid namespace."""
        if os.stat("/proc/self/ns/pid").st_ino != procfs.INITIAL_PID_NAMESPACE:
            raise OSError("inside a pid namespace")
        self.errors = errors
        groups = -(-int(Path("/proc/sys/kernel/pid_max").read_text()) // GROUP)
        table = libc.bpf_array(2 * GROUP, groups)  # two bytes for each
        try:
            self._armed = memoryview(mmap.mmap(table, 2 * groups * GROUP)).cast("H")
            code = program(table, errors, number)
            loaded = libc.bpf_load_program(uapi.BPF_PROG_TYPE_RAW_TRACEPOINT, code)
        finally:
            os.close(table)  # the mapping and the program have copies
        try:
            libc.bpf_raw_tracepoint("sys_exit", loaded)  # until we end
        finally:
            os.close(loaded)

    def arm(self, tid: int, number: int) -> bool:
        """Stop it if this call fails; False where its number is beyond the table."""
        if tid >= len(self._armed):
            return False
        self._armed[tid] = number & _CALLS | _ARMED
        return True

    def disarm(self, tid: int) -> bool:
        """The thread makes another call, or is gone: another thread may get its number. True if it
        was armed, and its call has not failed."""
        if tid >= len(self._armed) or not self._armed[tid]:
            return False
        self._armed[tid] = 0
        return True


def program(table: int, errors: Collection[int], number: int) -> bytes:
    """The program that runs at the end of each call. ``number``: see ``FailingCalls``.

    At a raw tracepoint, with the registers' address and the result: a program at the tracepoint's
    event would not run on a processor that was just taken from a thread using a BPF map
    (bpf_prog_active in the kernel's bpf_trace.c)."""
    code = Assembler()
    code.load(8, 7, 1, 8)
    code.jump_if(7, "signed >=", 0, "end")
    code.load(8, 6, 1, 0)
    code.call(_PID_TGID)
    code.store(8, FRAME, -8, 0)
    code.load(4, 8, FRAME, -8)
    code.find_thread(8, table, -8, size=2, unknown="end")
    code.load(2, 9, 0, 0)
    code.jump_if(9, "==", 0, "end")
    code.move(8, 0)
    code.store_value(4, FRAME, -8, 0)
    code.point(1, FRAME, -8)
    code.set(2, 4)
    code.point(3, 6, number)
    code.call(_READ_KERNEL)
    code.load(4, 1, FRAME, -8)
    code.change(1, "&", _CALLS)
    code.change(1, "|", _ARMED)
    code.jump_unless_equal(1, 9, "end")
    code.store_value(2, 8, 0, 0)
    for error in sorted(errors):
        code.jump_if(7, "==", -error, "failed")
    code.jump("end")
    code.label("failed")
    code.set(1, SIGNAL)
    code.call(_SEND_SIGNAL_THREAD)
    return code.finish()
