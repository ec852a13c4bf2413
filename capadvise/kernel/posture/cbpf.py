"""Classic BPF as seccomp runs it: what a filter would answer to a call. Pure.

Documentation/userspace-api/seccomp_filter.rst; the instructions are those that
seccomp_check_filter() of kernel/seccomp.c lets through.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum

INSTRUCTION = struct.Struct("=HBBI")  # struct sock_filter
_DATA = struct.Struct("=iIQ6Q")  # struct seccomp_data
_WORD = 0xFFFFFFFF


class Action(IntEnum):
    """The answers, strictest first (linux/seccomp.h)."""

    KILL_PROCESS = 0x80000000
    KILL_THREAD = 0
    TRAP = 0x00030000
    ERRNO = 0x00050000
    USER_NOTIF = 0x7FC00000
    TRACE = 0x7FF00000
    LOG = 0x7FFC0000
    ALLOW = 0x7FFF0000

    @property
    def refuses(self) -> bool:
        """True if the call is not made. The answer of a supervisor or tracer is not known here."""
        return self in (Action.KILL_PROCESS, Action.KILL_THREAD, Action.TRAP, Action.ERRNO)


@dataclass(frozen=True, slots=True)
class Program:
    """One filter."""

    code: tuple[tuple[int, int, int, int], ...]
    """(operation, jump if true, jump if false, constant) of each instruction."""

    @classmethod
    def parse(cls, raw: bytes) -> Program:
        """An array of struct sock_filter; raises ValueError for what is none."""
        if len(raw) % INSTRUCTION.size or not 0 < len(raw) <= 4096 * INSTRUCTION.size:
            raise ValueError(f"{len(raw)} bytes are no filter")
        return cls(tuple(INSTRUCTION.iter_unpack(raw)))


def answer(filters: Sequence[Program], number: int, arch: int, args: Sequence[int] = ()) -> Action:
    """The answer of all filters together to a call: the strictest wins (seccomp_run_filters())."""
    padded = (*args, 0, 0, 0, 0, 0, 0)[:6]
    data = _DATA.pack(number, arch, 0, *padded)
    values = [run(program, data) & 0xFFFF0000 for program in filters]
    # Actions compare as signed numbers: KILL_PROCESS is the smallest. Unknown ones kill.
    known = [value if value in set(Action) else Action.KILL_PROCESS for value in values]
    signed = [value - (1 << 32) if value >> 31 else value for value in (*known, Action.ALLOW)]
    return Action(min(signed) & _WORD)


_OPERATIONS: dict[int, Callable[[int, int], int]] = {
    0x00: lambda a, b: a + b,
    0x10: lambda a, b: a - b,
    0x20: lambda a, b: a * b,
    0x30: lambda a, b: a // b if b else 0,
    0x40: lambda a, b: a | b,
    0x50: lambda a, b: a & b,
    0x60: lambda a, b: a << (b & 31),
    0x70: lambda a, b: a >> (b & 31),
    0x80: lambda a, b: -a,
    0xA0: lambda a, b: a ^ b,
}
_JUMPS: dict[int, Callable[[int, int], bool]] = {
    0x10: lambda a, b: a == b,
    0x20: lambda a, b: a > b,
    0x30: lambda a, b: a >= b,
    0x40: lambda a, b: bool(a & b),
}


def run(program: Program, data: bytes) -> int:
    """The value that a program returns. Raises ValueError for one that the kernel would not have
    accepted: it is read from another process, and nobody vouches for it."""
    a = x = at = 0
    memory = [0] * 16
    code = program.code
    while at < len(code):  # jumps go forward only, so this ends
        operation, if_true, if_false, k = code[at]
        at += 1
        kind, source = operation & 0x07, (x if operation & 0x08 else k)
        if operation == 0x20:  # BPF_LD | BPF_W | BPF_ABS
            if k > len(data) - 4:
                raise ValueError("the filter reads beyond its input")
            a = int.from_bytes(data[k : k + 4], sys.byteorder)
        elif operation in (0x80, 0x81):  # the length, into A or X
            a, x = (len(data), x) if operation == 0x80 else (a, len(data))
        elif operation in (0x00, 0x01):  # a constant
            a, x = (k, x) if operation == 0x00 else (a, k)
        elif operation in (0x60, 0x61):
            a, x = (memory[k & 15], x) if operation == 0x60 else (a, memory[k & 15])
        elif operation in (0x02, 0x03):
            memory[k & 15] = a if operation == 0x02 else x
        elif kind == 0x04 and operation & 0xF0 in _OPERATIONS:
            a = _OPERATIONS[operation & 0xF0](a, source) & _WORD
        elif kind == 0x05 and operation & 0xF0 == 0:
            at += k
        elif kind == 0x05 and operation & 0xF0 in _JUMPS:
            at += if_true if _JUMPS[operation & 0xF0](a, source) else if_false
        elif operation in (0x06, 0x16):
            return k if operation == 0x06 else a
        elif operation in (0x07, 0x87):  # between A and X
            a, x = (a, a) if operation == 0x07 else (x, x)
        else:
            raise ValueError(f"operation {operation:#x} is not allowed in a seccomp filter")
    raise ValueError("the filter does not return")
