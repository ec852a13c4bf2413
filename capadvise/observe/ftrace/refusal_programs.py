"""The BPF programs that record calls that were refused without a capability check. Pure.

Two run at the end of each thread and at the delivery of a signal: what a seccomp filter has killed,
or sent SIGSYS, is told. Both are rare. The others run at the begin and at the end of each system
call, where that is asked for: they see all that fails with EPERM, EACCES or EROFS. A filter stands
before the place where the begin of a call is seen, so that a call without a begin was answered by
one.
"""

from __future__ import annotations

import errno
import signal

from capadvise.observe.ftrace.bpf_assembler import FRAME, Assembler
from capadvise.observe.ftrace.denial_program import (
    COMM,
    CONTEXT,
    CRED,
    PID_TGID,
    READ,
    RECORD,
    REGISTERS,
    TASK,
    TASK_BTF,
    copy_call,
    count_or_tell,
    load_call,
    load_registers,
    look_up,
    note_who,
    put,
    read,
    scratch,
)
from capadvise.observe.ftrace.denial_record import (
    CALL,
    CAP,
    ERROR,
    FILTERED,
    DenialMaps,
    KernelLayout,
)

_FILTER, _DEAD = 2, 3
"""SECCOMP_MODE_FILTER, and SECCOMP_MODE_DEAD: killed by its filter (kernel/seccomp.c)."""
_SIGNAL_CODE, _FROM_SECCOMP = 8, 1
"""Where struct kernel_siginfo has si_code, and SYS_SECCOMP."""
_ASKING = (errno.EPERM, errno.EACCES)
"""Errors of which a check that was refused in the same call tells already."""
_ANSWER = 8
"""Where the event of a call's end has the result."""
_ERROR, _FILTERED = -56, -64
"""Places on the stack."""


def at_exit(layout: KernelLayout, maps: DenialMaps, own: int) -> bytes:
    """At the end of a thread: was it killed by a seccomp filter, and at which call? Of processes
    that end in another way, those that failed are noted."""
    code = Assembler()
    _load_task(code, layout)
    code.load(4, 3, 0, layout.exit_code)
    code.jump_if(3, "==", 0, "end")
    code.jump_if(2, "==", _DEAD, "killed")
    code.call(PID_TGID)
    code.store(8, FRAME, -8, 0)
    code.move(1, FRAME)
    code.add(1, -24)
    code.set(2, 16)
    code.call(COMM)
    put(code, maps.failed, -24)
    code.jump("end")
    code.label("killed")
    _tell_of_signal(code, layout, maps, own)
    code.label("end")
    code.exit()
    return code.code


def at_signal(layout: KernelLayout, maps: DenialMaps, own: int) -> bytes:
    """At the delivery of a signal: is it SIGSYS, and from a filter that lets the thread live, or
    end by the signal? ``at_exit`` tells of those that are killed."""
    code = Assembler()
    code.move(CONTEXT, 1)
    code.load(8, 2, CONTEXT, 0)
    code.jump_if(2, "!=", signal.SIGSYS, "end")
    code.load(8, 3, CONTEXT, 8)
    code.add(3, _SIGNAL_CODE)
    code.store_value(8, FRAME, -8, 0)
    read(code, READ, FRAME, -8, 4)
    code.load(4, 2, FRAME, -8)
    code.jump_if(2, "!=", _FROM_SECCOMP, "end")
    _load_task(code, layout)
    code.jump_if(2, "!=", _FILTER, "end")
    _tell_of_signal(code, layout, maps, own)
    code.label("end")
    code.exit()
    return code.code


def _tell_of_signal(code: Assembler, layout: KernelLayout, maps: DenialMaps, own: int) -> None:
    code.store_value(8, FRAME, _ERROR, 0)
    code.store_value(8, FRAME, _FILTERED, 1)
    _tell(code, layout, maps, own, named=layout.named)


def at_begin(layout: KernelLayout, ended: int) -> bytes:
    """At the begin of a call."""
    code = Assembler()
    _load_task(code, layout)
    code.jump_if(2, "!=", _FILTER, "end")
    _look_up_thread(code, ended)
    code.jump_if(0, "==", 0, "end")
    code.store_value(8, 0, 0, 0)
    code.label("end")
    code.exit()
    return code.code


def at_end(layout: KernelLayout, maps: DenialMaps, own: int) -> bytes:
    """At the end of a call: was it refused, and was it begun?"""
    if maps.ended is None or maps.asked is None:
        raise ValueError("the end of calls takes its maps")
    code = Assembler()
    code.move(CONTEXT, 1)
    code.store_value(8, FRAME, _FILTERED, 0)
    _load_task(code, layout)
    code.jump_if(2, "!=", _FILTER, "entered")
    _note_end(code, maps.ended)
    code.label("entered")
    code.load(8, 2, CONTEXT, _ANSWER)
    for error in (errno.EROFS, *_ASKING):
        code.jump_if(2, "==", -error, f"error {error}")
    code.jump("end")
    for error in (errno.EROFS, *_ASKING):
        code.label(f"error {error}")
        code.store_value(8, FRAME, _ERROR, error)
        code.jump("asked?" if error in _ASKING else "tell")
    code.label("asked?")
    code.load(8, 2, FRAME, _FILTERED)
    code.jump_if(2, "!=", 0, "tell")
    _leave_what_was_told(code, layout, maps.asked)
    code.label("tell")
    _tell(code, layout, maps, own)
    code.label("end")
    code.exit()
    return code.code


def _load_task(code: Assembler, layout: KernelLayout) -> None:
    """Load how seccomp treats the thread into register 2."""
    code.call(TASK_BTF)
    code.load(4, 2, 0, layout.seccomp)


def _look_up_thread(code: Assembler, table: int) -> None:
    code.call(PID_TGID)
    code.store(4, FRAME, -4, 0)
    look_up(code, table)


def _note_end(code: Assembler, ended: int) -> None:
    """Remember the end of a call. Of two ends in a row, the second had no begin. Nothing is said of
    a thread that was never seen: a table that is full can hide a refusal, not make one up."""
    _look_up_thread(code, ended)
    code.jump_if(0, "==", 0, "first")
    code.load(8, 2, 0, 0)
    code.store_value(8, 0, 0, 1)
    code.store(8, FRAME, _FILTERED, 2)
    code.jump("entered")
    code.label("first")
    code.store_value(8, FRAME, -16, 1)
    put(code, ended, -16)


def _leave_what_was_told(code: Assembler, layout: KernelLayout, asked: int) -> None:
    """End where a check of this call was told."""
    _look_up_thread(code, asked)
    code.jump_if(0, "==", 0, "tell")
    code.move(CRED, 0)
    load_registers(code)
    copy_call(code, layout)
    for number in range(3):
        code.load(8, 2, CRED, 8 * number)
        code.load(8, 3, FRAME, -32 + 8 * number)
        code.jump_if_register(2, "!=", 3, "tell")
    code.store_value(8, CRED, 0, -1)  # the same call can be made again, with another answer
    code.jump("end")


def _tell(
    code: Assembler, layout: KernelLayout, maps: DenialMaps, own: int, named: int | None = None
) -> None:
    """Count the call, or send it. ``named``: see ``KernelLayout``."""
    load_registers(code)
    scratch(code, maps)
    code.store_value(4, RECORD, CAP, -1)  # NO_CAP
    if named is None:
        load_call(code, layout, 2)
    else:
        code.load(4, 2, REGISTERS, named)
    code.store(4, RECORD, CALL, 2)
    code.load(8, 2, FRAME, _ERROR)
    code.store(4, RECORD, ERROR, 2)
    code.load(8, 2, FRAME, _FILTERED)
    code.store(4, RECORD, FILTERED, 2)
    code.call(TASK)
    code.move(3, 0)
    code.add(3, layout.cred)
    read(code, READ, FRAME, -8, 8)
    code.load(8, CRED, FRAME, -8)
    note_who(code, layout, own)
    count_or_tell(code, layout, maps)
