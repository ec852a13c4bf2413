"""Classic BPF, as a seccomp filter is written in it, and the registers that such a filter sees."""

from __future__ import annotations

import struct

X86_64, I386, AARCH64 = 0xC000003E, 0x40000003, 0xC00000B7
"""AUDIT_ARCH_*, linux/audit.h."""
TRACE, ALLOW = 0x7FF00000, 0x7FFF0000
"""SECCOMP_RET_*, linux/seccomp.h."""


def six(*args: int) -> tuple[int, ...]:
    """All registers of a call."""
    return (*args, *(0,) * (6 - len(args)))


def answer(code: bytes, number: int, args: tuple[int, ...] = (), arch: int = X86_64) -> int:
    """What a filter answers to a call: the few instructions that are used."""
    data = struct.pack("<iIQ6Q", number, arch, 0, *six(*args))
    at = value = 0
    while True:
        kind, yes, no, operand = struct.unpack_from("<HBBI", code, 8 * at)
        at += 1
        if kind == 0x06:
            return int(operand)
        if kind == 0x05:
            at += operand
            continue
        if kind == 0x20:
            (value,) = struct.unpack_from("<I", data, operand)
            continue
        holds = {0x15: value == operand, 0x35: value >= operand, 0x45: bool(value & operand)}[kind]
        at += yes if holds else no
