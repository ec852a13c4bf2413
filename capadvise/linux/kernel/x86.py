"""The machine code of x86-64, as far as programs use it around their calls. Pure.

Only what can be followed: of each instruction, which registers it reads and writes, whether it
writes to memory, and where the program goes on. Of what is not known here nothing is said: it is
None, and whoever reads the code gives up.

Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, appendix A.
"""

from __future__ import annotations

from collections.abc import Callable

from capadvise.linux.kernel import x86_operations as operations
from capadvise.linux.kernel.x86_operands import FLAGS, Encoded, Instruction, Location

_VECTORS = frozenset(
    [
        *(0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x28, 0x29, 0x2A, 0x2B, 0x2E, 0x2F),
        *(0x51, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5A, 0x5B, 0x5C, 0x5D, 0x5E, 0x5F),
        *(0x60, 0x61, 0x62, 0x6C, 0x6D, 0x6E, 0x6F, 0x7F, 0xD4, 0xD6, 0xDB, 0xE7, 0xEB, 0xEF),
        *(0xFA, 0xFB, 0xFE),
    ]
)
_VECTOR_STORES = frozenset({0x11, 0x13, 0x17, 0x29, 0x2B, 0x7F, 0xD6, 0xE7})


def _vector(reader: Encoded, code: int) -> Instruction:
    """Of the registers for vectors and floating point, which nobody asks for here."""
    _, other, takes = reader.operands()
    stores = other.base if isinstance(other, Location) and code in _VECTOR_STORES else None
    reads = takes | (operations.bit(other) if code in (0x2A, 0x6E) else 0)
    writes = FLAGS if code in (0x2E, 0x2F) else 0
    return Instruction(reader.here(), reads=reads, writes=writes, stores=stores)


def _far_branch(reader: Encoded, code: int) -> Instruction:
    """To any address."""
    distance = reader.signed(4)
    return operations.branch(reader, code & 15, distance)


def _hint(reader: Encoded, _: int) -> Instruction:
    """endbr64, or nothing."""
    reader.operands()
    return Instruction(reader.here())


def _move_if(reader: Encoded, _: int) -> Instruction:
    """By the flags."""
    field, other, takes = reader.operands()
    reads = takes | operations.bit(other) | 1 << field | FLAGS
    return Instruction(reader.here(), reads=reads, writes=1 << field)


def _set_if(reader: Encoded, _: int) -> Instruction:
    """A byte, by the flags."""
    _field, other, takes = reader.operands()
    to = reader.narrow(other)
    stores = to.base if isinstance(to, Location) else None
    reads, writes = takes | operations.bit(to) | FLAGS, operations.bit(to)
    return Instruction(reader.here(), reads=reads, writes=writes, stores=stores)


def _extend(reader: Encoded, code: int) -> Instruction:
    """A smaller number into a register."""
    field, other, takes = reader.operands()
    other = reader.narrow(other) if code in (0xB6, 0xBE) else other
    return Instruction(reader.here(), reads=takes | operations.bit(other), writes=1 << field)


def _multiply_by(reader: Encoded, _: int) -> Instruction:
    """By another operand."""
    field, other, takes = reader.operands()
    reads = takes | operations.bit(other) | 1 << field
    return Instruction(reader.here(), reads=reads, writes=1 << field | FLAGS)


def _bit_test(reader: Encoded, code: int) -> Instruction | None:
    """Looks at one bit."""
    size = 1 if code == 0xBA else 0
    if size and reader.field() != 4:
        return None
    field, other, takes = reader.operands(size)
    reader.signed(size)
    reads = takes | operations.bit(other) | (0 if size else 1 << field)
    return Instruction(reader.here(), reads=reads, writes=FLAGS)


_Decoder = Callable[[Encoded, int], Instruction | None]
_PLAIN: dict[int, _Decoder] = {
    **{code: operations.of_two for code in range(0x40) if code & 7 < 6},
    **dict.fromkeys(range(0x50, 0x58), operations.push),
    **dict.fromkeys(range(0x58, 0x60), operations.pop),
    **dict.fromkeys((0x63, 0x8B), operations.load),
    **dict.fromkeys((0x68, 0x6A), operations.push_constant),
    **dict.fromkeys((0x69, 0x6B), operations.multiply),
    **dict.fromkeys(range(0x70, 0x80), operations.short_branch),
    **dict.fromkeys((0x80, 0x81, 0x83), operations.with_constant),
    **dict.fromkeys((0x84, 0x85), operations.test),
    **dict.fromkeys((0x88, 0x89, 0x8A), operations.move),
    0x8D: operations.address,
    0x90: operations.nothing,
    0x98: operations.widen,
    0x99: operations.sign,
    **dict.fromkeys((0xA8, 0xA9), operations.test_constant),
    **dict.fromkeys(range(0xB0, 0xB8), operations.set_byte),
    **dict.fromkeys(range(0xB8, 0xC0), operations.set_register),
    **dict.fromkeys((0xC0, 0xC1, 0xD0, 0xD1, 0xD2, 0xD3), operations.shift),
    0xC3: operations.go_back,
    **dict.fromkeys((0xC6, 0xC7), operations.store_constant),
    **dict.fromkeys((0xE8, 0xE9, 0xEB), operations.call_or_jump),
    0xF4: operations.halt,
    **dict.fromkeys((0xF6, 0xF7), operations.group_of_three),
    **dict.fromkeys((0xFE, 0xFF), operations.group_of_five),
}
_EXTENDED: dict[int, _Decoder] = {
    0x0B: operations.halt,
    **dict.fromkeys((0x1E, 0x1F), _hint),
    **dict.fromkeys(range(0x40, 0x50), _move_if),
    **dict.fromkeys(range(0x80, 0x90), _far_branch),
    **dict.fromkeys(range(0x90, 0xA0), _set_if),
    **dict.fromkeys((0xA3, 0xBA), _bit_test),
    0xAF: _multiply_by,
    **dict.fromkeys((0xB6, 0xB7, 0xBE, 0xBF), _extend),
    **dict.fromkeys(_VECTORS, _vector),
}
"""What decodes an operation of one byte, and one that begins with 0f."""


def decode(code: bytes, offset: int, address: int) -> Instruction | None:
    """The instruction at this offset, which the program has at this address."""
    reader = Encoded(code, offset, address)
    try:
        operation = reader.prefixes()
        table = _PLAIN
        if operation == 0x0F:
            operation, table = reader.byte(), _EXTENDED
        decoder = table.get(operation)
        return decoder(reader, operation) if decoder else None
    except IndexError:
        return None
