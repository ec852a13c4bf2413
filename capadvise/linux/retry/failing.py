"""Stopping a thread at the end of a call only if that failed: a BPF program does it.

A call that succeeds tells nothing, and most do. Where the tracer needs to know only of failures it
arms the thread: the program, which runs at the end of each system call of this machine, sends it a
SIGSTOP if the call comes back with an error behind which a capability can stand, and disarms it.
That signal cannot be blocked, nobody else sends it as the kernel, and the tracer does not let it be
delivered.

SIGSTOP and SIGCONT remove each other from what is pending in a process (prepare_signal in the
kernel's signal.c). Whoever sends SIGCONT removes ours, but also stops each traced thread, and then
the tracer looks whether the armed call failed. Ours removes SIGCONT: a thread that blocks it is not
armed. What remains:

- A handler of SIGCONT does not run if the signal comes while an armed call fails, or if it is
  pending for another thread alone, which blocks it.
- A SIGSTOP that is sent to the thread alone while ours is pending is taken for ours.
- A failure is missed if its processor was taken from a thread that was just using a BPF map: the
  kernel runs no such program then (bpf_prog_active in bpf_trace.c).
"""

from __future__ import annotations

import mmap
import os
import signal
from collections.abc import Collection
from pathlib import Path

from capadvise.linux.ftrace import tracefs
from capadvise.linux.ftrace.bpf_assembler import FRAME, Assembler
from capadvise.linux.kernel import libc, uapi

_EVENT = Path("events/raw_syscalls/sys_exit")
_GROUP = 64
"""So many threads share an entry of the table: a byte each, which can be set without a lock."""
_CALLS, _ARMED = 127, 128
"""What of a call's number is kept, and what marks the byte. Another call with the same bits stops
the thread for nothing."""
_MAP_LOOKUP, _PID_TGID, _SEND_SIGNAL_THREAD = 1, 14, 117


class FailingCalls:
    """Which threads are to be stopped if their present call fails."""

    def __init__(self, root: Path, errors: Collection[int]) -> None:
        """``root`` is that of tracefs. Raises OSError where the kernel or its lockdown refuses."""
        self.errors = errors
        groups = -(-int(Path("/proc/sys/kernel/pid_max").read_text()) // _GROUP)
        table = libc.bpf_array(_GROUP, groups)
        try:
            self._bytes = mmap.mmap(table, groups * _GROUP)
            fields = tracefs.format_of(root / _EVENT).fields
            code = program(table, errors, fields["id"].offset, fields["ret"].offset)
            loaded = libc.bpf_load_program(uapi.BPF_PROG_TYPE_TRACEPOINT, code)
        finally:
            os.close(table)  # the mapping and the program have copies
        try:
            libc.perf_tracepoint(tracefs.event_id(root / _EVENT), loaded)  # until we end
        finally:
            os.close(loaded)

    def arm(self, tid: int, number: int) -> bool:
        """Stop it if this call fails; False where its number is beyond the table."""
        if tid >= len(self._bytes):
            return False
        self._bytes[tid] = number & _CALLS | _ARMED
        return True

    def disarm(self, tid: int) -> None:
        """The thread makes another call, or is gone: its number may come again with a stranger."""
        if tid < len(self._bytes):
            self._bytes[tid] = 0


def program(table: int, errors: Collection[int], number: int, result: int) -> bytes:
    """What runs at the end of each call. ``number``, ``result``: where they stand in the event."""
    code = Assembler()
    code.move(6, 1)
    code.load(8, 7, 6, result)
    code.jump_if(7, "signed >=", 0, "end")
    for error in sorted(errors):
        code.jump_if(7, "==", -error, "failed")
    code.jump("end")
    code.label("failed")
    code.call(_PID_TGID)
    code.store(8, FRAME, -8, 0)
    code.load(4, 8, FRAME, -8)
    code.move(1, 8)
    code.shift_right(1, _GROUP.bit_length() - 1)
    code.store(4, FRAME, -12, 1)
    code.map(1, table)
    code.move(2, FRAME)
    code.add(2, -12)
    code.call(_MAP_LOOKUP)
    code.jump_if(0, "==", 0, "end")
    code.keep_bits(8, _GROUP - 1)
    code.add_register(0, 8)
    code.load(1, 9, 0, 0)
    code.load(8, 1, 6, number)
    code.keep_bits(1, _CALLS)
    code.set_bits(1, _ARMED)
    code.jump_if_register(1, "!=", 9, "end")
    code.store_value(1, 0, 0, 0)
    code.set(1, signal.SIGSTOP)
    code.call(_SEND_SIGNAL_THREAD)
    code.label("end")
    code.exit()
    return code.code
