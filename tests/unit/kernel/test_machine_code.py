"""Who asks for a capability, read from a few bytes of machine code."""

from __future__ import annotations

import struct

import pytest

from tests.kernels.image import Code
from tests.kernels.machine_code import Asked, askers, base_name

ASK, ASK_NS = 0x4000, 0x4100
ARGUMENTS = {ASK: ("capable", 0), ASK_NS: ("ns_capable", 1)}


def code(*functions: tuple[str, bytes]) -> Code:
    """Functions one after the other, from 0x1000 on."""
    data, names = b"", []
    for name, body in functions:
        names.append((0x1000 + len(data), name))
        data += body
    return Code(0x1000, data + b"\x90" * 8, names)


def go(opcode: int, at: int, target: int) -> bytes:
    return bytes([opcode]) + struct.pack("<i", target - (0x1000 + at) - 5)


SYS_ADMIN, NET_ADMIN = b"\xbf\x15\0\0\0", b"\xbe\x0c\0\0\0"
RET = b"\xc3"


def asked(*found: tuple[str, int | None, str]) -> list[Asked]:
    return [Asked(function, cap, {wrapper}) for function, cap, wrapper in found]


@pytest.mark.parametrize(
    ("body", "cap", "wrapper"),
    [
        (SYS_ADMIN + go(0xE8, 5, ASK) + RET, 21, "capable"),
        (NET_ADMIN + go(0xE8, 5, ASK_NS) + RET, 12, "ns_capable"),
        (b"\xbf\x0c\0\0\0" + SYS_ADMIN + go(0xE8, 10, ASK) + RET, 21, "capable"),
        (b"\x31\xff" + go(0xE8, 2, ASK) + RET, None, "capable"),
        (b"\xbf\x15\x01\0\0" + go(0xE8, 5, ASK) + RET, None, "capable"),
    ],
)
def test_a_call_names_the_capability(body: bytes, cap: int | None, wrapper: str) -> None:
    assert askers(code(("f", body)), ARGUMENTS) == asked(("f", cap, wrapper))


def test_who_jumps_there_is_not_in_the_stack_but_its_callers_are() -> None:
    may = SYS_ADMIN + go(0xE9, 5, ASK)
    caller = go(0xE8, 10, 0x1000) + RET
    outer = go(0xE9, 16, 0x1000)
    outermost = go(0xE8, 21, 0x1010) + RET
    seen = askers(
        code(("may", may), ("f.isra.0", caller), ("g", outer), ("h", outermost)), ARGUMENTS
    )
    assert seen == asked(("f", 21, "capable"), ("h", 21, "capable"))


def test_other_calls_are_none_of_ours() -> None:
    assert askers(code(("f", SYS_ADMIN + go(0xE8, 5, ASK + 1) + RET)), ARGUMENTS) == []


@pytest.mark.parametrize(
    ("symbol", "name"),
    [("f", "f"), ("f.cold", "f"), ("f.isra.0", "f"), ("f.constprop.0.part.3", "f")],
)
def test_parts_of_a_function_bear_its_name(symbol: str, name: str) -> None:
    assert base_name(symbol) == name


def arm64(*functions: tuple[str, list[int]]) -> Code:
    """Functions of arm64, of instructions, from 0x1000 on."""
    data, names = b"", []
    for name, body in functions:
        names.append((0x1000 + len(data), name))
        data += struct.pack(f"<{len(body)}I", *body)
    return Code(0x1000, data, names, arm64=True)


def go_arm64(opcode: int, at: int, target: int) -> int:
    return opcode | (target - (0x1000 + at)) >> 2 & 0x3FFFFFF


BL, B, RET_ARM64, PACIASP = 0x94000000, 0x14000000, 0xD65F03C0, 0xD503233F


def movz(register: int, value: int) -> int:
    return 0x52800000 | value << 5 | register


@pytest.mark.parametrize(
    ("before", "target", "cap", "wrapper"),
    [
        (movz(0, 21), ASK, 21, "capable"),
        (movz(1, 12), ASK_NS, 12, "ns_capable"),
        (movz(1, 12), ASK, None, "capable"),
        (movz(0, 0), ASK, None, "capable"),
        (movz(0, 277), ASK, None, "capable"),
    ],
)
def test_a_call_of_arm64_names_the_capability(
    before: int, target: int, cap: int | None, wrapper: str
) -> None:
    body = [PACIASP, before, go_arm64(BL, 8, target), RET_ARM64]
    assert askers(arm64(("f", body)), ARGUMENTS) == asked(("f", cap, wrapper))


def test_who_jumps_on_arm64_is_not_in_the_stack() -> None:
    may = [movz(0, 21), go_arm64(B, 4, ASK)]
    caller = [go_arm64(BL, 8, 0x1000), RET_ARM64]
    seen = askers(arm64(("may", may), ("f.isra.0", caller)), ARGUMENTS)
    assert seen == asked(("f", 21, "capable"))
