"""What single operations of x86-64 do: those of one byte. Pure."""

from __future__ import annotations

from capadvise.linux.kernel.x86_operands import (
    FLAGS,
    NO_BASE,
    RAX,
    RCX,
    RDX,
    RSP,
    Does,
    Encoded,
    Flow,
    Instruction,
    Location,
    Operand,
    Register,
)


def bit(operand: Operand) -> int:
    return 1 << operand.number if isinstance(operand, Register) else 0


def _to(
    reader: Encoded,
    does: Does,
    to: Register | Location,
    of: Operand,
    takes: int,
    *,
    keeps: bool = False,
    flags: bool = True,
    partly: bool = False,
) -> Instruction:
    """An operation on two operands, of which the first is changed unless it ``keeps`` it."""
    if does is Does.UNKNOWN and to == of and isinstance(to, Register):  # xor with itself
        writes = bit(to) | FLAGS
        return Instruction(reader.here(), writes=writes, does=Does.SET, operands=(to, 0))
    reads = takes | bit(of)
    if does is not Does.SET or partly:
        reads |= bit(to)
    return Instruction(
        reader.here(),
        reads=reads,
        writes=(0 if keeps else bit(to)) | (FLAGS if flags else 0),
        stores=None if keeps or isinstance(to, Register) else to.base,
        does=Does.UNKNOWN if partly else does,
        operands=(to, of),
        pushes=0 if keeps else _longer(does, to, of),
    )


def _longer(does: Does, to: Register | Location, of: Operand) -> int | None:
    """By how much the stack is longer; None: not known."""
    if to != Register(RSP):
        return 0
    if not isinstance(of, int) or does not in (Does.ADD, Does.SUBTRACT):
        return None
    return of if does is Does.SUBTRACT else -of


_ARITHMETIC = {0: Does.ADD, 5: Does.SUBTRACT, 7: Does.COMPARE}
_WITH_CARRY = (2, 3)


def _arithmetic(
    reader: Encoded, number: int, to: Register | Location, of: Operand, takes: int, *, narrow: bool
) -> Instruction:
    does = _ARITHMETIC.get(number, Does.UNKNOWN)
    if does is Does.UNKNOWN and to == of and (number != 6 or narrow or reader.short):
        of = Location(NO_BASE, False)  # none of these makes the whole register 0: only xor does
    plain = _to(reader, does, to, of, takes, keeps=number == 7, partly=narrow or reader.short)
    if number not in _WITH_CARRY:
        return plain
    return Instruction(
        plain.next, reads=plain.reads | FLAGS, writes=plain.writes, stores=plain.stores
    )


def push(reader: Encoded, code: int) -> Instruction:
    """Puts a register on the stack."""
    low = (code & 7) | (reader.rex & 1) << 3
    return Instruction(reader.here(), reads=1 << low, pushes=8)


def pop(reader: Encoded, code: int) -> Instruction:
    """Takes one from it."""
    low = (code & 7) | (reader.rex & 1) << 3
    return Instruction(reader.here(), writes=1 << low, pushes=-8)


def push_constant(reader: Encoded, code: int) -> Instruction:
    """Puts a constant there."""
    reader.signed(4 if code == 0x68 else 1)
    return Instruction(reader.here(), pushes=8)


def short_branch(reader: Encoded, code: int) -> Instruction:
    """To an address nearby."""
    distance = reader.signed(1)
    return branch(reader, code & 15, distance)


def nothing(reader: Encoded, _: int) -> Instruction:
    """Does nothing."""
    return Instruction(reader.here())


def widen(reader: Encoded, _: int) -> Instruction:
    """Within rax."""
    return Instruction(reader.here(), reads=1 << RAX, writes=1 << RAX)


def sign(reader: Encoded, _: int) -> Instruction:
    """Of rax, into rdx."""
    return Instruction(reader.here(), reads=1 << RAX, writes=1 << RDX)


def go_back(reader: Encoded, _: int) -> Instruction:
    """To the caller."""
    return Instruction(reader.here(), Flow.RETURN)


def call_or_jump(reader: Encoded, code: int) -> Instruction:
    """Calls, or jumps."""
    distance = reader.signed(1 if code == 0xEB else 4)
    flow = Flow.CALL if code == 0xE8 else Flow.JUMP
    return Instruction(reader.here(), flow, reader.here() + distance)


def halt(reader: Encoded, _: int) -> Instruction:
    """No program comes back from it."""
    return Instruction(reader.here(), Flow.STOP)


def multiply(reader: Encoded, code: int) -> Instruction:
    """By a constant."""
    size = reader.size if code == 0x69 else 1
    field, other, takes = reader.operands(size)
    reader.signed(size)
    reads = takes | bit(other)
    return Instruction(reader.here(), reads=reads, writes=1 << field | FLAGS)


def with_constant(reader: Encoded, code: int) -> Instruction:
    """Arithmetic with a constant."""
    size = reader.size if code == 0x81 else 1
    field, other, takes = reader.operands(size)
    other = reader.narrow(other) if code == 0x80 else other
    value = reader.signed(size)
    number, narrow = field & 7, code == 0x80
    return _arithmetic(reader, number, other, value, takes, narrow=narrow)


def test(reader: Encoded, code: int) -> Instruction:
    """Of two operands."""
    field, other, takes = reader.operands()
    first: Register | Location = Register(field)
    if code == 0x84:
        first, other = reader.narrow(first), reader.narrow(other)
    partly = code == 0x84 or reader.short
    return _to(reader, Does.TEST, first, other, takes, keeps=True, partly=partly)


def test_constant(reader: Encoded, code: int) -> Instruction:
    """Of rax."""
    value = reader.signed(1 if code == 0xA8 else reader.size)
    return _to(*(reader, Does.TEST, Register(RAX), value, 0), keeps=True, partly=code == 0xA8)


def shift(reader: Encoded, code: int) -> Instruction:
    """Or rotate."""
    size = 1 if code < 0xD0 else 0
    _, other, takes = reader.operands(size)
    other = reader.narrow(other) if code in (0xC0, 0xD0, 0xD2) else other
    reader.signed(size)
    reads = takes | bit(other) | (1 << RCX if code >= 0xD2 else 0) | FLAGS
    stores = other.base if isinstance(other, Location) else None
    return Instruction(reader.here(), reads=reads, writes=bit(other) | FLAGS, stores=stores)


def load(reader: Encoded, code: int) -> Instruction:
    """Into a register."""
    field, other, takes = reader.operands()
    does = Does.SET if code == 0x8B else Does.UNKNOWN
    if code == 0x63:
        reads = takes | bit(other)
        return Instruction(reader.here(), reads=reads, writes=1 << field)
    return _to(*(reader, does, Register(field), other, takes), flags=False, partly=reader.short)


def move(reader: Encoded, code: int) -> Instruction:
    """Between a register and another operand."""
    field, other, takes = reader.operands()
    own: Register | Location = Register(field)
    if code != 0x89:
        own, other = reader.narrow(own), reader.narrow(other)
    to, of = (own, other) if code == 0x8A else (other, own)
    partly = code != 0x89 or reader.short
    return _to(reader, Does.SET, to, of, takes, flags=False, partly=partly)


def address(reader: Encoded, _: int) -> Instruction:
    """Calculates one."""
    field, _other, takes = reader.operands()
    pushes = None if field == RSP else 0
    return Instruction(reader.here(), reads=takes, writes=1 << field, pushes=pushes)


def set_register(reader: Encoded, code: int) -> Instruction:
    """A register to a constant."""
    low = (code & 7) | (reader.rex & 1) << 3
    value = reader.signed(8 if reader.wide else reader.size)
    partly = reader.short
    return _to(reader, Does.SET, Register(low), value, 0, flags=False, partly=partly)


def set_byte(reader: Encoded, code: int) -> Instruction:
    """A part of one."""
    low = (code & 7) | (reader.rex & 1) << 3
    reader.signed(1)
    to = reader.narrow(Register(low))
    return Instruction(reader.here(), reads=bit(to), writes=bit(to))


def store_constant(reader: Encoded, code: int) -> Instruction:
    """Into any operand."""
    size = 1 if code == 0xC6 else reader.size
    _, other, takes = reader.operands(size)
    other = reader.narrow(other) if code == 0xC6 else other
    value = reader.signed(size)
    partly = code == 0xC6 or reader.short
    return _to(reader, Does.SET, other, value, takes, flags=False, partly=partly)


def of_two(reader: Encoded, code: int) -> Instruction:
    """Arithmetic between a register and another operand, or between rax and a constant."""
    number, form = code >> 3, code & 7
    if form >= 4:
        value = reader.signed(1 if form == 4 else reader.size)
        return _arithmetic(reader, number, Register(RAX), value, 0, narrow=form == 4)
    field, other, takes = reader.operands()
    own: Register | Location = Register(field)
    if form in (0, 2):
        own, other = reader.narrow(own), reader.narrow(other)
    to, of = (other, own) if form < 2 else (own, other)
    return _arithmetic(reader, number, to, of, takes, narrow=form in (0, 2))


def branch(reader: Encoded, condition: int, distance: int) -> Instruction:
    target = reader.here() + distance
    return Instruction(reader.here(), Flow.BRANCH, target, condition=condition, reads=FLAGS)


def group_of_three(reader: Encoded, code: int) -> Instruction:
    """The register field tells: test, not and neg, or a multiplication."""
    number = reader.field()
    size = (1 if code == 0xF6 else reader.size) if number < 2 else 0
    _, other, takes = reader.operands(size)
    other = reader.narrow(other) if code == 0xF6 else other
    if number < 2:
        value = reader.signed(size)
        partly = code == 0xF6 or reader.short
        return _to(reader, Does.TEST, other, value, takes, keeps=True, partly=partly)
    if number < 4:
        return _changed(reader, other, takes)
    both = 1 << RAX | 1 << RDX
    return Instruction(reader.here(), reads=takes | bit(other) | both, writes=both | FLAGS)


def _changed(reader: Encoded, other: Register | Location, reads: int) -> Instruction:
    """An operation on one operand."""
    stores = other.base if isinstance(other, Location) else None
    reads, writes = reads | bit(other), bit(other) | FLAGS
    return Instruction(reader.here(), reads=reads, writes=writes, stores=stores)


def group_of_five(reader: Encoded, code: int) -> Instruction | None:
    """The register field tells: one more or less, a call or a jump through a pointer, or a push."""
    number = reader.field()
    _, other, takes = reader.operands()
    if number < 2:
        other = reader.narrow(other) if code == 0xFE else other
        does = Does.ADD if number == 0 else Does.SUBTRACT
        return _to(reader, does, other, 1, takes, partly=code == 0xFE or reader.short)
    reads = takes | bit(other)
    if code == 0xFF and number == 6:
        return Instruction(reader.here(), reads=reads, pushes=8)
    if code == 0xFE or number not in (2, 4):
        return None
    slot = other.address if isinstance(other, Location) else None
    flow = Flow.CALL if number == 2 else Flow.JUMP
    return Instruction(reader.here(), flow, slot=slot, reads=reads)
