"""Where processors keep the number and the arguments of a call."""

from __future__ import annotations

import struct

import pytest

from capadvise.observe.ftrace.bpf_assembler import Assembler
from capadvise.observe.ftrace.denials import registers

X86_64 = {"di": 112, "si": 104, "dx": 96, "r10": 56, "r8": 72, "r9": 64, "orig_ax": 120}
AARCH64 = {"orig_x0": 272, "syscallno": 280}
"""As Linux 6.1, 6.12 and 7.3 have them in ``struct pt_regs``."""


def test_the_number_and_the_arguments_of_a_call() -> None:
    x86_64 = {("pt_regs", name): offset for name, offset in X86_64.items()}
    assert registers(x86_64) == (120, 8, (112, 104, 96, 56, 72, 64), None)
    aarch64 = {("pt_regs", name): offset for name, offset in AARCH64.items()}
    aarch64["user_pt_regs", "regs"] = 0
    assert registers(aarch64) == (280, 4, (272, 8, 16, 24, 32, 40), 64)


def test_another_processor_is_not_known() -> None:
    with pytest.raises(KeyError):
        registers({("user_regs_struct", "a0"): 80})  # riscv64


def test_a_number_of_32_bits_keeps_its_sign() -> None:
    code = Assembler()
    code.extend_sign(3)
    shifts = [struct.unpack("<BBhi", code.code[at : at + 8]) for at in (0, 8)]
    assert shifts == [(0x67, 3, 0, 32), (0xC7, 3, 0, 32)]  # left, and right with the sign
