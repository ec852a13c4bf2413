"""BPF instructions with labels in place of distances. Pure.

Reference: Documentation/bpf/standardization/instruction-set.rst of the kernel.
"""

import struct

FRAME = 10
"""The register that holds the end of the stack."""
_LOAD = {1: 0x71, 2: 0x69, 4: 0x61, 8: 0x79}
_STORE = {1: 0x73, 2: 0x6B, 4: 0x63, 8: 0x7B}
_STORE_VALUE = {1: 0x72, 2: 0x6A, 4: 0x62, 8: 0x7A}
_CHANGES = {"+": 0x07, "|": 0x47, "&": 0x57, "<<": 0x67, ">>": 0x77, "signed >>": 0xC7}
_JUMPS = {"==": 0x15, "!=": 0x55, "&": 0x45, ">": 0x25, "signed >=": 0x75}
_MAP = 1
GROUP = 64
"""Threads that share an entry of a table: each has a place in it, which is set without a lock."""
MAP_LOOKUP = 1
"""BPF_FUNC_map_lookup_elem, linux/bpf.h."""


class Assembler:
    """Takes instructions one after the other; ``code`` is the program."""

    def __init__(self) -> None:
        self._instructions: list[tuple[int, int, int, int | str, int]] = []
        self._labels: dict[str, int] = {}

    def _add(
        self, code: int, to: int = 0, source: int = 0, offset: int | str = 0, value: int = 0
    ) -> None:
        self._instructions.append((code, to, source, offset, value))

    def label(self, name: str) -> None:
        """A place to jump to."""
        self._labels[name] = len(self._instructions)

    def move(self, to: int, source: int) -> None:
        """Copy a register."""
        self._add(0xBF, to, source)

    def set(self, to: int, value: int) -> None:
        """Set a register to a number of 32 bits, with its sign."""
        self._add(0xB7, to, value=value)

    def set_wide(self, to: int, value: int) -> None:
        """Set a register to a number of 64 bits."""
        low, high = struct.unpack("<ii", struct.pack("<Q", value))
        self._add(0x18, to, value=low)
        self._add(0, value=high)

    def map(self, to: int, descriptor: int) -> None:
        """Let a register stand for a map."""
        self._add(0x18, to, _MAP, value=descriptor)
        self._add(0)

    def change(self, to: int, how: str, value: int) -> None:
        """Change a register by a number; ``>>`` shifts without its sign."""
        self._add(_CHANGES[how], to, value=value)

    def point(self, to: int, base: int, offset: int) -> None:
        """Let a register point to a place that many bytes from where another one points to."""
        self.move(to, base)
        self.change(to, "+", offset)

    def extend_sign(self, to: int) -> None:
        """Take the lower 32 bits of a register for a number with a sign."""
        self.change(to, "<<", 32)
        self.change(to, "signed >>", 32)

    def load(self, size: int, to: int, source: int, offset: int) -> None:
        """Read memory that the kernel knows to be there."""
        self._add(_LOAD[size], to, source, offset)

    def store(self, size: int, to: int, offset: int, source: int) -> None:
        """Write a register to memory."""
        self._add(_STORE[size], to, source, offset)

    def copy(self, size: int, source: int, at: int, to: int, offset: int) -> None:
        """Copy memory from a place to another one, by way of register 2."""
        self.load(size, 2, source, at)
        self.store(size, to, offset, 2)

    def store_value(self, size: int, to: int, offset: int, value: int) -> None:
        """Write a number to memory."""
        self._add(_STORE_VALUE[size], to, 0, offset, value)

    def count(self) -> None:
        """Add 1 to the 8 bytes of memory at register 0, with nobody between."""
        self.set(1, 1)
        self._add(0xDB, 0, 1)

    def call(self, helper: int) -> None:
        """Call one of the kernel's helpers (BPF_FUNC_*)."""
        self._add(0x85, value=helper)

    def jump(self, label: str) -> None:
        """Go on at a label."""
        self._add(0x05, offset=label)

    def jump_if(self, register: int, how: str, value: int, label: str) -> None:
        """Go on at a label if a register compares so with a number."""
        self._add(_JUMPS[how], register, 0, label, value)

    def jump_unless_equal(self, register: int, other: int, label: str) -> None:
        """Go on at a label if two registers differ."""
        self._add(0x5D, register, other, label)

    def find_thread(self, thread: int, table: int, at: int, *, size: int, unknown: str) -> None:
        """Point register 0 to the place of a thread in its group: places have this size. Go on at
        the label ``unknown`` if there is no group. ``at``: a free place on the stack."""
        self.move(1, thread)
        self.change(1, ">>", GROUP.bit_length() - 1)
        self.store(4, FRAME, at, 1)
        self.map(1, table)
        self.point(2, FRAME, at)
        self.call(MAP_LOOKUP)
        self.jump_if(0, "==", 0, unknown)
        self.change(thread, "&", GROUP - 1)
        for _ in range(size):
            self._add(0x0F, 0, thread)  # a register is added to a register

    def exit(self) -> None:
        """End the program."""
        self.set(0, 0)
        self._add(0x95)

    def finish(self) -> bytes:
        """End the program at the label ``end``, and return its code."""
        self.label("end")
        self.exit()
        return self.code

    @property
    def code(self) -> bytes:
        """The program."""
        code = b""
        for at, (operation, to, source, offset, value) in enumerate(self._instructions):
            if isinstance(offset, str):
                offset = self._labels[offset] - at - 1
            code += struct.pack("<BBhi", operation, source << 4 | to, offset, value)
        return code
