"""What an instruction of x86-64 is, and how its operands are written. Pure.

Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, chapter 2.
"""

from __future__ import annotations

from enum import Enum

from capadvise.dataclass import dataclass

RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI = range(8)
FLAGS = 1 << 16
"""Beside one bit for each register."""
NO_BASE = -1


class Flow(Enum):
    """Where the program goes on."""

    NEXT = "next"
    CALL = "call"
    JUMP = "jump"
    BRANCH = "branch"
    RETURN = "return"
    STOP = "stop"


class Does(Enum):
    """What can be calculated of an instruction."""

    UNKNOWN = "unknown"
    SET = "set"
    ADD = "add"
    SUBTRACT = "subtract"
    COMPARE = "compare"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class Register:
    """One of the sixteen."""

    number: int


@dataclass(frozen=True, slots=True)
class Location:
    """What a register, or a fixed address, points to."""

    base: int
    """A register; -1: none."""
    plain: bool
    """Nothing is added to the register."""
    address: int | None = None
    """Where it is fixed, relative to the code."""


Operand = Register | Location | int


@dataclass(frozen=True, slots=True)
class Instruction:
    """One."""

    next: int
    flow: Flow = Flow.NEXT
    target: int | None = None
    slot: int | None = None
    """Of a call or jump through a pointer: where that lies."""
    condition: int = 0
    """Of a branch, as in its code."""
    reads: int = 0
    writes: int = 0
    stores: int | None = None
    """The register whose memory it writes to; -1: a fixed address."""
    does: Does = Does.UNKNOWN
    operands: tuple[Operand, Operand] | None = None
    pushes: int | None = 0
    """By how much it makes the stack longer; None: not known."""


class Encoded:
    """Takes apart one instruction."""

    def __init__(self, code: bytes, offset: int, address: int) -> None:
        self.code, self.at, self.start, self.address = code, offset, offset, address
        self.rex = 0
        self.short = self.wide = False
        self.repeat = 0
        self.end_of_immediate = 0

    def byte(self) -> int:
        self.at += 1
        return self.code[self.at - 1]

    def signed(self, size: int) -> int:
        value = int.from_bytes(self.code[self.at : self.at + size], "little", signed=True)
        if self.at + size > len(self.code):
            raise IndexError
        self.at += size
        return value

    def here(self) -> int:
        return self.address + self.at - self.start

    def prefixes(self) -> int:
        """Skips them; the operation."""
        while (code := self.byte()) in (0x66, 0xF2, 0xF3, 0x2E, 0x3E, 0x64, 0x65):
            self.short |= code == 0x66
            self.repeat = code if code in (0xF2, 0xF3) else self.repeat
        if code & 0xF0 == 0x40:
            self.rex, code = code, self.byte()
        self.wide = bool(self.rex & 8)
        return code

    def field(self) -> int:
        """The register field of what follows, which can stand for an operation."""
        return self.code[self.at] >> 3 & 7

    def operands(self, immediate: int = 0) -> tuple[int, Register | Location, int]:
        """The register field, the other operand, and the registers that its address takes; so many
        bytes of a constant follow."""
        mode = self.byte()
        field = (mode >> 3 & 7) | (self.rex & 4) << 1
        low, mod = mode & 7, mode >> 6
        if mod == 3:
            return field, Register(low | (self.rex & 1) << 3), 0
        base, takes, plain = low | (self.rex & 1) << 3, 0, mod == 0
        if low == 4:
            scale = self.byte()
            index = (scale >> 3 & 7) | (self.rex & 2) << 2
            base = (scale & 7) | (self.rex & 1) << 3
            if index != RSP:
                takes, plain = 1 << index, False
            if scale & 7 == 5 and mod == 0:
                self.signed(4)
                return field, Location(NO_BASE, False), takes
        elif low == 5 and mod == 0:
            distance = self.signed(4)
            return field, Location(NO_BASE, False, self.here() + immediate + distance), 0
        if mod:
            plain &= self.signed(1 if mod == 1 else 4) == 0
        return field, Location(base, plain), takes | 1 << base

    def narrow(self, operand: Register | Location) -> Register | Location:
        """The register of which an operand of eight bits is a part: ah to bh are of the first."""
        if isinstance(operand, Register) and not self.rex and operand.number >= RSP:
            return Register(operand.number - 4)
        return operand

    @property
    def size(self) -> int:
        """Of a constant."""
        return 2 if self.short else 4
