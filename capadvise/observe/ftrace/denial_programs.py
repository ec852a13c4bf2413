"""The BPF programs that record the refusals of the whole machine, and their record. Pure.

``program`` runs at each capability check, and ends at once if that was granted. It drops the check
for CAP_SYS_ADMIN that ordinary processes fail at nearly every mmap, by the number of the call. It
counts each kind of the other refusals in the kernel, and sends a record of the first of each kind.
The other programs record calls that were refused without a check. ``at_exit`` and ``at_signal`` run
at the end of a thread and at the delivery of a signal, which are rare: they see what a seccomp
filter killed, or sent SIGSYS. ``at_begin`` and ``at_end`` run at each system call, if that is
wanted: they see all that fails with EPERM, EACCES or EROFS. A filter runs before the place where
the begin of a call is seen: a filter answered a call that has an end and no begin.
"""

import errno
import signal
from collections.abc import Iterable
from dataclasses import dataclass

from capadvise.model import clone_flags
from capadvise.model.caps import SYS_ADMIN
from capadvise.observe.ftrace.bpf_assembler import FRAME, Assembler

CAP, CALL, UID, RELATION, PROGRAM, GROUP, STACK = 0, 4, 8, 12, 16, 32, 40
FRAMES = 28
KEY_SIZE = STACK + 8 * FRAMES
THREAD, ARGUMENTS, IDS, SETS, PATH = 264, 272, 320, 352, 392
PATH_SIZE, ADDRESS_SIZE = 256, 28
ADDRESS = 16
"""Added to the number of an argument that is the address of a socket."""
NAMES, LEVELS, NAME_SIZE = PATH + PATH_SIZE, 6, 96
"""The control group and those above it, the innermost first."""
RECORD_SIZE = NAMES + LEVELS * NAME_SIZE
"""Offsets of the parts of a record. Its beginning is the key in the kernel's table."""
OUTSIDE, OWN = 2, 4
"""Bits of RELATION: the process is in another user namespace than the machine's; the check was
against the namespace that the process is in."""
NO_CALL = 0xFFFFFFFF
NO_CAP = 0xFFFFFFFF
"""In the place of the capability: a call that was refused without a recorded check."""
ERROR, FILTERED = STACK, STACK + 4
"""Offsets of the error of such a call, 0 for SIGSYS, and of a flag: a seccomp filter answered
it."""
ASKED_SIZE = 24


@dataclass(frozen=True, slots=True)
class KernelLayout:
    """Offsets in the kernel's structures, in bytes."""

    call: int
    call_size: int
    arguments: tuple[int, ...]
    """In ``struct pt_regs``: the number of the call, its size, and the arguments as they were at
    its begin."""
    named: int | None
    """In ``struct pt_regs``: the register that named the call, 4 bytes, if the kernel forgets the
    number itself before it delivers a signal."""
    ids: int
    sets: int
    users: int
    """In ``struct cred``."""
    above: int
    """In ``struct user_namespace``: the one above it."""
    seccomp: int
    exit_code: int
    cred: int
    groups: int
    """In ``struct task_struct``."""
    group: int
    """In ``struct css_set``: the group of version 2, or a subsystem's state."""
    of_state: int | None
    """In ``struct cgroup_subsys_state``; None for version 2."""
    group2: int
    """In ``struct css_set``: the group of version 2, used if the process is in no group of the
    subsystem."""
    node: int
    """In ``struct cgroup``."""
    node_id: int
    node_name: int
    node_parent: int
    """In ``struct kernfs_node``."""


@dataclass(frozen=True, slots=True)
class CheckArguments:
    """Offsets of the arguments and the answer of a check, 8 bytes each."""

    cred: int
    namespace: int
    cap: int
    answer: int


TRACEPOINT = CheckArguments(cred=0, namespace=8, cap=24, answer=32)
"""``capability:cap_capable``"""
FUNCTION = CheckArguments(cred=0, namespace=8, cap=16, answer=32)
"""At the return of ``cap_capable()``."""


@dataclass(frozen=True, slots=True)
class DenialMaps:
    """Descriptors."""

    scratch: int
    """One record for each processor."""
    counts: int
    ring: int
    paths: int
    """By the number of a call: which argument is a path, counted from 1; or ADDRESS plus which
    argument is a socket address."""
    dropped: int
    """How many records the ring did not take."""
    failed: int
    """Process → its name, of those that did not end with 0."""
    asked: int | None = None
    """By thread: its last call in which a check was refused; only if the end of each call is
    seen."""
    ended: int | None = None
    """By thread with a seccomp filter: 1 from the end of a call to the begin of the next one."""


@dataclass(frozen=True, slots=True)
class Calls:
    """Numbers of system calls."""

    memory: Iterable[int]
    """Calls that check CAP_SYS_ADMIN only for memory accounting."""
    clone: int | None
    clone3: int | None


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
    """At each check. ``own``: our process, which is left out."""
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
        code.call(PID_TGID)  # the program at the end of the call learns that its check was recorded
        code.store(4, FRAME, -4, 0)
        copy_call(code, layout)
        put(code, maps.asked, -32)
    scratch(code, maps)
    _note_key(code, context, layout, own)
    count_or_send(code, layout, maps)
    return code.finish()


def _leave_accounting(code: Assembler, layout: KernelLayout, calls: Calls) -> None:
    """End if the check is only for memory accounting."""
    load_call(code, layout, 3)
    for number in calls.memory:
        code.jump_if(3, "==", number, "end")
    code.jump_if(3, "==", -1, "end")  # a page fault
    if calls.clone is not None:
        code.jump_if(3, "!=", calls.clone, "no clone")
        code.load(8, 4, REGISTERS, layout.arguments[0])
        code.change(4, "&", clone_flags.ALL)  # a fork without them is no business of SYS_ADMIN's
        code.jump_if(4, "==", 0, "end")
        code.label("no clone")
    if calls.clone3 is not None:
        code.jump_if(3, "!=", calls.clone3, "keep")
        code.store_value(8, FRAME, -8, 0)
        code.load(8, 3, REGISTERS, layout.arguments[0])
        read(code, _READ_USER, FRAME, -8, 8)
        code.load(8, 4, FRAME, -8)
        code.change(4, "&", clone_flags.ALL)
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
    """Put a value on the stack into a table; the key is the 4 bytes at the top."""
    code.map(1, table)
    code.point(2, FRAME, -4)
    code.point(3, FRAME, value)
    code.set(4, 0)
    code.call(_UPDATE)


def look_up(code: Assembler, table: int) -> None:
    """Look up the 4 bytes at the top of the stack in a table; register 0 gets the value's
    address."""
    code.map(1, table)
    code.point(2, FRAME, -4)
    code.call(_LOOKUP)


def read(code: Assembler, helper: int, to: int, offset: int, size: int) -> None:
    """Copy from the address in register 3."""
    code.point(1, to, offset)
    code.set(2, size)
    code.call(helper)


def copy_call(code: Assembler, layout: KernelLayout) -> None:
    """Put what identifies a call of a thread below the stack, in 24 bytes."""
    load_call(code, layout, 2)
    code.store(8, FRAME, -32, 2)
    for at, offset in zip((-24, -16), layout.arguments[:2], strict=True):
        code.copy(8, REGISTERS, offset, FRAME, at)


def scratch(code: Assembler, maps: DenialMaps) -> None:
    """Point the register of the record to this processor's."""
    code.store_value(4, FRAME, -4, 0)
    look_up(code, maps.scratch)
    code.jump_if(0, "==", 0, "end")
    code.move(RECORD, 0)
    for at in range(0, KEY_SIZE, 8):
        code.store_value(8, RECORD, at, 0)


def _note_key(code: Assembler, context: CheckArguments, layout: KernelLayout, own: int) -> None:
    """Write the key: all that distinguishes this check."""
    code.load(8, 2, CONTEXT, context.cap)
    code.store(4, RECORD, CAP, 2)
    load_call(code, layout, 2)
    code.store(4, RECORD, CALL, 2)
    code.load(8, CRED, CONTEXT, context.cred)
    note_who(code, layout, own)
    code.load(8, 2, FRAME, -32)
    code.load(8, 3, CONTEXT, context.namespace)
    code.jump_unless_equal(2, 3, "not its own")
    code.load(4, 2, RECORD, RELATION)
    code.change(2, "|", OWN)
    code.store(4, RECORD, RELATION, 2)
    code.label("not its own")
    code.move(1, CONTEXT)
    code.point(2, RECORD, STACK)
    code.set(3, 8 * FRAMES)
    code.set(4, 0)
    code.call(_GET_STACK)


def note_who(code: Assembler, layout: KernelLayout, own: int) -> None:
    """Write whose call it is; keep its user namespace below the stack."""
    _note_thread(code, own)
    code.point(3, CRED, layout.ids)
    read(code, READ, RECORD, IDS, 32)
    code.copy(4, RECORD, IDS + 16, RECORD, UID)
    code.point(3, CRED, layout.users)
    read(code, READ, FRAME, -16, 8)
    code.copy(8, FRAME, -16, FRAME, -32)
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
    code.point(1, RECORD, PROGRAM)
    code.set(2, 16)
    code.call(COMM)


def _note_group(code: Assembler, layout: KernelLayout) -> None:
    """Write the number of its control group; keep where that is described below the stack."""
    code.call(TASK)
    code.point(3, 0, layout.groups)
    read(code, READ, FRAME, -48, 8)
    code.copy(8, FRAME, -48, FRAME, -24)
    if layout.of_state is None:
        follow(code, -24, layout.group2, layout.node)
    else:
        follow(code, -24, layout.group, layout.of_state, layout.node)
        code.copy(8, FRAME, -24, FRAME, -40)
        follow(code, -40, layout.node_parent)
        code.load(8, 2, FRAME, -40)
        code.jump_if(2, "!=", 0, "in a group")
        follow(code, -48, layout.group2, layout.node)
        code.copy(8, FRAME, -48, FRAME, -24)
        code.label("in a group")
    code.load(8, 3, FRAME, -24)
    code.change(3, "+", layout.node_id)
    read(code, READ, RECORD, GROUP, 8)


def follow(code: Assembler, at: int, *offsets: int) -> None:
    """Follow a pointer that stands on the stack, from structure to structure."""
    for offset in offsets:
        code.load(8, 3, FRAME, at)
        code.change(3, "+", offset)
        read(code, READ, FRAME, at, 8)


def count_or_send(code: Assembler, layout: KernelLayout, maps: DenialMaps) -> None:
    """Count a known kind; send the whole record of a new one."""
    code.map(1, maps.counts)
    code.move(2, RECORD)
    code.call(_LOOKUP)
    code.jump_if(0, "==", 0, "new")
    code.count()
    code.jump("end")
    code.label("new")
    code.store_value(8, FRAME, -8, 1)
    code.map(1, maps.counts)
    code.move(2, RECORD)
    code.point(3, FRAME, -8)
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
    # The ring is full: the next one of this kind is to be sent.
    code.map(1, maps.counts)
    code.move(2, RECORD)
    code.call(_DELETE)
    code.store_value(4, FRAME, -4, 0)
    look_up(code, maps.dropped)
    code.jump_if(0, "==", 0, "end")
    code.count()


def _note_rest(code: Assembler, layout: KernelLayout, maps: DenialMaps) -> None:
    for number, offset in enumerate(layout.arguments):
        code.copy(8, REGISTERS, offset, RECORD, ARGUMENTS + 8 * number)
    code.point(3, CRED, layout.sets)
    read(code, READ, RECORD, SETS, 40)
    _note_path(code, maps)
    for level in range(LEVELS):
        code.store_value(8, RECORD, NAMES + level * NAME_SIZE, 0)
    for level in range(LEVELS):
        code.load(8, 3, FRAME, -24)
        code.jump_if(3, "==", 0, "top")
        code.change(3, "+", layout.node_name)
        read(code, READ, FRAME, -40, 8)
        code.load(8, 3, FRAME, -40)
        read(code, _READ_TEXT, RECORD, NAMES + level * NAME_SIZE, NAME_SIZE)
        follow(code, -24, layout.node_parent)
    code.label("top")


def _note_path(code: Assembler, maps: DenialMaps) -> None:
    for at in range(0, 32, 8):
        code.store_value(8, RECORD, PATH + at, 0)
    code.copy(4, RECORD, CALL, FRAME, -4)
    look_up(code, maps.paths)
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


_FILTER, _DEAD = 2, 3
"""SECCOMP_MODE_FILTER, and SECCOMP_MODE_DEAD: killed by its filter (kernel/seccomp.c)."""
_SIGNAL_CODE, _FROM_SECCOMP = 8, 1
"""The offset of si_code in struct kernel_siginfo, and SYS_SECCOMP."""
_ASKING = (errno.EPERM, errno.EACCES)
"""Errors that a check refused in the same call explains already."""
_ANSWER = 8
"""The offset of the result in the event of a call's end."""
_ERROR, _FILTERED = -56, -64
"""Places on the stack."""


def at_exit(layout: KernelLayout, maps: DenialMaps, own: int) -> bytes:
    """At the end of a thread: record the call if a seccomp filter killed it. Note other processes
    that failed."""
    code = Assembler()
    _load_task(code, layout)
    code.load(4, 3, 0, layout.exit_code)
    code.jump_if(3, "==", 0, "end")
    code.jump_if(2, "==", _DEAD, "killed")
    code.call(PID_TGID)
    code.store(8, FRAME, -8, 0)
    code.point(1, FRAME, -24)
    code.set(2, 16)
    code.call(COMM)
    put(code, maps.failed, -24)
    code.jump("end")
    code.label("killed")
    _record_signal(code, layout, maps, own)
    return code.finish()


def at_signal(layout: KernelLayout, maps: DenialMaps, own: int) -> bytes:
    """At the delivery of a signal: record the call if it is SIGSYS from a filter. ``at_exit``
    records threads that a filter kills."""
    code = Assembler()
    code.move(CONTEXT, 1)
    code.load(8, 2, CONTEXT, 0)
    code.jump_if(2, "!=", signal.SIGSYS, "end")
    code.load(8, 3, CONTEXT, 8)
    code.change(3, "+", _SIGNAL_CODE)
    code.store_value(8, FRAME, -8, 0)
    read(code, READ, FRAME, -8, 4)
    code.load(4, 2, FRAME, -8)
    code.jump_if(2, "!=", _FROM_SECCOMP, "end")
    _load_task(code, layout)
    code.jump_if(2, "!=", _FILTER, "end")
    _record_signal(code, layout, maps, own)
    return code.finish()


def _record_signal(code: Assembler, layout: KernelLayout, maps: DenialMaps, own: int) -> None:
    code.store_value(8, FRAME, _ERROR, 0)
    code.store_value(8, FRAME, _FILTERED, 1)
    _record_call(code, layout, maps, own, named=layout.named)


def at_begin(layout: KernelLayout, ended: int) -> bytes:
    """At the begin of a call: note that it was begun."""
    code = Assembler()
    _load_task(code, layout)
    code.jump_if(2, "!=", _FILTER, "end")
    _look_up_thread(code, ended)
    code.jump_if(0, "==", 0, "end")
    code.store_value(8, 0, 0, 0)
    return code.finish()


def at_end(layout: KernelLayout, maps: DenialMaps, own: int) -> bytes:
    """At the end of a call: record it if it was refused."""
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
        code.jump("checked?" if error in _ASKING else "record")
    code.label("checked?")
    code.load(8, 2, FRAME, _FILTERED)
    code.jump_if(2, "!=", 0, "record")
    _end_if_recorded(code, layout, maps.asked)
    code.label("record")
    _record_call(code, layout, maps, own)
    return code.finish()


def at_exec(layout: KernelLayout, maps: DenialMaps, own: int) -> bytes:
    """At the end of ``cap_bprm_creds_from_file()``: record an exec that it refused, since the
    bounding set lacks file capabilities. The path and the program's name are still there."""
    code = Assembler()
    code.move(CONTEXT, 1)
    code.load(8, 2, CONTEXT, 16)  # the result stands behind the two arguments
    code.extend_sign(2)
    code.jump_if(2, "!=", -errno.EPERM, "end")
    code.store_value(8, FRAME, _ERROR, errno.EPERM)
    code.store_value(8, FRAME, _FILTERED, 0)
    _record_call(code, layout, maps, own)
    return code.finish()


def _load_task(code: Assembler, layout: KernelLayout) -> None:
    """Load how seccomp treats the thread into register 2."""
    code.call(TASK_BTF)
    code.load(4, 2, 0, layout.seccomp)


def _look_up_thread(code: Assembler, table: int) -> None:
    code.call(PID_TGID)
    code.store(4, FRAME, -4, 0)
    look_up(code, table)


def _note_end(code: Assembler, ended: int) -> None:
    """Remember the end of a call. The second of two ends in a row had no begin. A thread that was
    never seen is skipped: a full table can hide a refusal, but not invent one."""
    _look_up_thread(code, ended)
    code.jump_if(0, "==", 0, "first")
    code.load(8, 2, 0, 0)
    code.store_value(8, 0, 0, 1)
    code.store(8, FRAME, _FILTERED, 2)
    code.jump("entered")
    code.label("first")
    code.store_value(8, FRAME, -16, 1)
    put(code, ended, -16)


def _end_if_recorded(code: Assembler, layout: KernelLayout, asked: int) -> None:
    _look_up_thread(code, asked)
    code.jump_if(0, "==", 0, "record")
    code.move(CRED, 0)
    load_registers(code)
    copy_call(code, layout)
    for number in range(3):
        code.load(8, 2, CRED, 8 * number)
        code.load(8, 3, FRAME, -32 + 8 * number)
        code.jump_unless_equal(2, 3, "record")
    code.store_value(8, CRED, 0, -1)  # the same call can be made again, with another answer
    code.jump("end")


def _record_call(
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
    code.point(3, 0, layout.cred)
    read(code, READ, FRAME, -8, 8)
    code.load(8, CRED, FRAME, -8)
    note_who(code, layout, own)
    count_or_send(code, layout, maps)
