"""The BPF program that records the refused capability checks of the whole machine. Pure.

It runs at each check, and ends at once where that was granted. The check for CAP_SYS_ADMIN that
ordinary processes fail at nearly every mmap ends a few instructions later, by the number of the
call. What is left is counted in the kernel, by all that makes it another one than those before;
the first of each is told.
"""

from __future__ import annotations

from capadvise.model import clone_flags
from capadvise.model.caps import SYS_ADMIN
from capadvise.observe.ftrace.bpf_assembler import FRAME, Assembler
from capadvise.observe.ftrace.denial_record import (
    ADDRESS,
    ADDRESS_SIZE,
    ARGUMENTS,
    CALL,
    CAP,
    FRAMES,
    GROUP,
    IDS,
    KEY_SIZE,
    LEVELS,
    NAME_SIZE,
    NAMES,
    OUTSIDE,
    OWN,
    PATH,
    PATH_SIZE,
    PROGRAM,
    RECORD_SIZE,
    RELATION,
    SETS,
    STACK,
    THREAD,
    UID,
    Calls,
    CheckArguments,
    DenialMaps,
    KernelLayout,
)

_LOOKUP, _UPDATE, _DELETE, PID_TGID, COMM, TASK = 1, 2, 3, 14, 16, 35
_GET_STACK, _READ_USER, READ, _READ_USER_TEXT, _READ_TEXT = 67, 112, 113, 114, 115
_OUTPUT, TASK_BTF, _TASK_REGISTERS = 130, 158, 175
CONTEXT, RECORD, REGISTERS, CRED = 6, 7, 8, 9
"""Registers that are kept: what the program was given, the record, the registers of the thread at
its call, and the credentials."""
_NOT_THERE = 1
"""BPF_NOEXIST"""


def program(
    context: CheckArguments, layout: KernelLayout, maps: DenialMaps, calls: Calls, own: int
) -> bytes:
    """``own``: our process, which is left out."""
    code = Assembler()
    code.move(CONTEXT, 1)
    code.load(8, 2, CONTEXT, context.answer)
    code.jump_if(2, "==", 0, "end")
    load_registers(code)
    code.load(8, 2, CONTEXT, context.cap)
    code.jump_if(2, "!=", int(SYS_ADMIN), "keep")
    _leave_accounting(code, layout, calls)
    code.label("keep")
    if maps.asked is not None:
        _remember(code, layout, maps.asked)
    scratch(code, maps)
    _note_key(code, context, layout, own)
    count_or_tell(code, layout, maps)
    code.label("end")
    code.exit()
    return code.code


def _leave_accounting(code: Assembler, layout: KernelLayout, calls: Calls) -> None:
    """End where memory is only accounted for."""
    load_call(code, layout, 3)
    for number in calls.memory:
        code.jump_if(3, "==", number, "end")
    code.jump_if(3, "==", -1, "end")  # a page fault
    if calls.clone is not None:
        code.jump_if(3, "!=", calls.clone, "no clone")
        code.load(8, 4, REGISTERS, layout.arguments[0])
        code.keep_bits(4, clone_flags.ALL)  # a fork without them is no business of SYS_ADMIN's
        code.jump_if(4, "==", 0, "end")
        code.label("no clone")
    if calls.clone3 is not None:
        code.jump_if(3, "!=", calls.clone3, "keep")
        code.store_value(8, FRAME, -8, 0)
        code.load(8, 3, REGISTERS, layout.arguments[0])
        read(code, _READ_USER, FRAME, -8, 8)
        code.load(8, 4, FRAME, -8)
        code.keep_bits(4, clone_flags.ALL)
        code.jump_if(4, "==", 0, "end")


def load_registers(code: Assembler) -> None:
    """Have the registers of the thread, as they were at its call, in REGISTERS."""
    code.call(TASK_BTF)
    code.move(1, 0)
    code.call(_TASK_REGISTERS)
    code.move(REGISTERS, 0)


def load_call(code: Assembler, layout: KernelLayout, to: int) -> None:
    """Have the number of the call in a register; -1 where there is none."""
    code.load(layout.call_size, to, REGISTERS, layout.call)
    if layout.call_size < 8:
        code.extend_sign(to)


def put(code: Assembler, table: int, value: int) -> None:
    """Put what stands there on the stack into a table; its key are the 4 bytes at the top."""
    code.map(1, table)
    code.move(2, FRAME)
    code.add(2, -4)
    code.move(3, FRAME)
    code.add(3, value)
    code.set(4, 0)
    code.call(_UPDATE)


def look_up(code: Assembler, table: int) -> None:
    """Where a table has the value of the 4 bytes at the top of the stack, into register 0."""
    code.map(1, table)
    code.move(2, FRAME)
    code.add(2, -4)
    code.call(_LOOKUP)


def read(code: Assembler, helper: int, to: int, offset: int, size: int) -> None:
    """Copy from the address in register 3."""
    code.move(1, to)
    code.add(1, offset)
    code.set(2, size)
    code.call(helper)


def _remember(code: Assembler, layout: KernelLayout, asked: int) -> None:
    """Let whoever sees the end of this call know that a check of it was told."""
    code.call(PID_TGID)
    code.store(4, FRAME, -4, 0)
    copy_call(code, layout)
    put(code, asked, -32)


def copy_call(code: Assembler, layout: KernelLayout) -> None:
    """Put what tells one call of a thread from another below the stack, in 24 bytes."""
    load_call(code, layout, 2)
    code.store(8, FRAME, -32, 2)
    for at, offset in zip((-24, -16), layout.arguments[:2], strict=True):
        code.load(8, 2, REGISTERS, offset)
        code.store(8, FRAME, at, 2)


def scratch(code: Assembler, maps: DenialMaps) -> None:
    """Let the register of the record stand for this processor's."""
    code.store_value(4, FRAME, -4, 0)
    code.map(1, maps.scratch)
    code.move(2, FRAME)
    code.add(2, -4)
    code.call(_LOOKUP)
    code.jump_if(0, "==", 0, "end")
    code.move(RECORD, 0)
    for at in range(0, KEY_SIZE, 8):
        code.store_value(8, RECORD, at, 0)


def _note_key(code: Assembler, context: CheckArguments, layout: KernelLayout, own: int) -> None:
    """Write all that makes this check another one."""
    code.load(8, 2, CONTEXT, context.cap)
    code.store(4, RECORD, CAP, 2)
    load_call(code, layout, 2)
    code.store(4, RECORD, CALL, 2)
    code.load(8, CRED, CONTEXT, context.cred)
    note_who(code, layout, own)
    code.load(8, 2, FRAME, -32)
    code.load(8, 3, CONTEXT, context.namespace)
    code.jump_if_register(2, "!=", 3, "not its own")
    code.load(4, 2, RECORD, RELATION)
    code.set_bits(2, OWN)
    code.store(4, RECORD, RELATION, 2)
    code.label("not its own")
    code.move(1, CONTEXT)
    code.move(2, RECORD)
    code.add(2, STACK)
    code.set(3, 8 * FRAMES)
    code.set(4, 0)
    code.call(_GET_STACK)


def note_who(code: Assembler, layout: KernelLayout, own: int) -> None:
    """Write whose call it is; keep its user namespace below the stack."""
    _note_thread(code, own)
    code.move(3, CRED)
    code.add(3, layout.ids)
    read(code, READ, RECORD, IDS, 32)
    code.load(4, 2, RECORD, IDS + 16)
    code.store(4, RECORD, UID, 2)
    code.move(3, CRED)
    code.add(3, layout.users)
    read(code, READ, FRAME, -16, 8)
    code.load(8, 2, FRAME, -16)
    code.store(8, FRAME, -32, 2)
    follow(code, -16, layout.above)  # the machine's has none above it
    code.load(8, 2, FRAME, -16)
    code.jump_if(2, "==", 0, "not outside")
    code.store_value(4, RECORD, RELATION, OUTSIDE)
    code.label("not outside")
    _note_group(code, layout)


def _note_thread(code: Assembler, own: int) -> None:
    """Write which thread it is, and what it is called."""
    code.call(PID_TGID)
    code.store(8, RECORD, THREAD, 0)
    code.load(4, 2, RECORD, THREAD + 4)
    code.jump_if(2, "==", own, "end")
    code.move(1, RECORD)
    code.add(1, PROGRAM)
    code.set(2, 16)
    code.call(COMM)


def _note_group(code: Assembler, layout: KernelLayout) -> None:
    """Write the number of its control group; keep where that is described below the stack."""
    code.call(TASK)
    code.move(3, 0)
    code.add(3, layout.groups)
    read(code, READ, FRAME, -48, 8)
    code.load(8, 2, FRAME, -48)
    code.store(8, FRAME, -24, 2)
    if layout.of_state is None:
        follow(code, -24, layout.group2, layout.node)
    else:
        follow(code, -24, layout.group, layout.of_state, layout.node)
        code.load(8, 2, FRAME, -24)
        code.store(8, FRAME, -40, 2)
        follow(code, -40, layout.node_parent)
        code.load(8, 2, FRAME, -40)
        code.jump_if(2, "!=", 0, "in a group")
        follow(code, -48, layout.group2, layout.node)
        code.load(8, 2, FRAME, -48)
        code.store(8, FRAME, -24, 2)
        code.label("in a group")
    code.load(8, 3, FRAME, -24)
    code.add(3, layout.node_id)
    read(code, READ, RECORD, GROUP, 8)


def follow(code: Assembler, at: int, *offsets: int) -> None:
    """Follow a pointer that stands on the stack, from structure to structure."""
    for offset in offsets:
        code.load(8, 3, FRAME, at)
        code.add(3, offset)
        read(code, READ, FRAME, at, 8)


def count_or_tell(code: Assembler, layout: KernelLayout, maps: DenialMaps) -> None:
    """Count one that is known; of a new one, send the whole record."""
    code.map(1, maps.counts)
    code.move(2, RECORD)
    code.call(_LOOKUP)
    code.jump_if(0, "==", 0, "new")
    code.set(1, 1)
    code.increment(0, 0, 1)
    code.jump("end")
    code.label("new")
    code.store_value(8, FRAME, -8, 1)
    code.map(1, maps.counts)
    code.move(2, RECORD)
    code.move(3, FRAME)
    code.add(3, -8)
    code.set(4, _NOT_THERE)
    code.call(_UPDATE)
    code.jump_if(0, "!=", 0, "end")
    _note_rest(code, layout, maps)
    code.map(1, maps.ring)
    code.move(2, RECORD)
    code.set(3, RECORD_SIZE)
    code.set(4, 0)
    code.call(_OUTPUT)
    code.jump_if(0, "==", 0, "end")
    # The ring is full: the next one of this kind is to be told.
    code.map(1, maps.counts)
    code.move(2, RECORD)
    code.call(_DELETE)
    code.store_value(4, FRAME, -4, 0)
    look_up(code, maps.dropped)
    code.jump_if(0, "==", 0, "end")
    code.set(1, 1)
    code.increment(0, 0, 1)


def _note_rest(code: Assembler, layout: KernelLayout, maps: DenialMaps) -> None:
    """Write what only the first of a kind tells."""
    for number, offset in enumerate(layout.arguments):
        code.load(8, 2, REGISTERS, offset)
        code.store(8, RECORD, ARGUMENTS + 8 * number, 2)
    code.move(3, CRED)
    code.add(3, layout.sets)
    read(code, READ, RECORD, SETS, 40)
    _note_path(code, maps)
    for level in range(LEVELS):
        code.store_value(8, RECORD, NAMES + level * NAME_SIZE, 0)
    for level in range(LEVELS):
        code.load(8, 3, FRAME, -24)
        code.jump_if(3, "==", 0, "top")
        code.add(3, layout.node_name)
        read(code, READ, FRAME, -40, 8)
        code.load(8, 3, FRAME, -40)
        read(code, _READ_TEXT, RECORD, NAMES + level * NAME_SIZE, NAME_SIZE)
        follow(code, -24, layout.node_parent)
    code.label("top")


def _note_path(code: Assembler, maps: DenialMaps) -> None:
    """Copy the path, if the call has one."""
    for at in range(0, 32, 8):
        code.store_value(8, RECORD, PATH + at, 0)
    code.load(4, 2, RECORD, CALL)
    code.store(4, FRAME, -4, 2)
    code.map(1, maps.paths)
    code.move(2, FRAME)
    code.add(2, -4)
    code.call(_LOOKUP)
    code.jump_if(0, "==", 0, "no path")
    code.load(1, 2, 0, 0)
    for number in range(5):
        for kind, first in (("text", 1), ("address", ADDRESS)):
            code.jump_if(2, "!=", number + first, f"not {kind} {number}")
            code.load(8, 3, RECORD, ARGUMENTS + 8 * number)
            code.jump(kind)
            code.label(f"not {kind} {number}")
    code.jump("no path")
    code.label("address")
    read(code, _READ_USER, RECORD, PATH, ADDRESS_SIZE)
    code.jump("no path")
    code.label("text")
    read(code, _READ_USER_TEXT, RECORD, PATH, PATH_SIZE)
    code.label("no path")
