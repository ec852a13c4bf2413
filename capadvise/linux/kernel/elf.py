"""Which functions a program takes from its libraries, and where it calls them."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cached_property
from typing import TypeVar

from capadvise.linux.kernel.x86 import decode
from capadvise.linux.kernel.x86_operands import Instruction

_HEADER = struct.Struct("<4sBB48xHH6x")
"""Magic number, class, byte order; size and number of program headers: those of 64 bits alone."""
_HEADERS_AT = 32
_SEGMENT = struct.Struct("<IIQQQQQQ")
"""Type, flags, offset, virtual and physical address, size in the file."""
_ENTRY = struct.Struct("<qQ")
_LOAD, _DYNAMIC = 1, 2
_RUNS = 1
"""A flag of segments that hold code."""
_MACHINE_AT, _X86_64 = 18, 62
_NEEDED, _STRTAB, _SYMTAB, _STRSZ, _RPATH, _RUNPATH = 1, 5, 6, 10, 15, 29
_RELA, _RELASZ, _PLTRELSZ, _JMPREL = 7, 8, 2, 23
_RELOCATION = struct.Struct("<QQq")
_SYMBOL = struct.Struct("<I20x")
_POINTERS = (6, 7)
"""R_X86_64_GLOB_DAT and R_X86_64_JUMP_SLOT: slots through which the code reaches a function."""
_MOST = 4 << 20
"""Bytes of names that are looked at: the file can be anybody's."""
_MOST_CODE, _MOST_INSTRUCTIONS, _MOST_CALLS = 8 << 20, 50_000, 64
"""Of a program: more is not looked at."""
_NOWHERE = "?"
"""Stands for libraries in other places."""
T = TypeVar("T")


def imported(handle: int, names: Iterable[str]) -> frozenset[str]:
    """Which of these names stand in the dynamic string table of an open file (O_PATH will do);
    none of one that is no program of this kind."""
    table = b"\0" + (_of(handle, lambda file: file.names) or b"") + b"\0"
    return frozenset(name for name in names if b"\0%s\0" % name.encode() in table)


def needed(handle: int) -> list[str]:
    """The libraries that an open file names; where it says itself where to look for them, there is
    one that nobody finds."""
    return _of(handle, lambda file: file.needed()) or []


def program(handle: int) -> ProgramCode | None:
    """That of an open file."""
    return _of(handle, ProgramCode)


def _of(handle: int, read: Callable[[_File], T]) -> T | None:
    """What is read of an open file, which can be anybody's."""
    with suppress(OSError, OverflowError, ValueError, struct.error):  # a place beyond any file
        path = f"/proc/self/fd/{handle}"
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            return read(_File(fd))
        finally:
            os.close(fd)
    return None


class _File:
    """An open file, as the dynamic linker sees it."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        header = os.pread(fd, 64, 0)
        magic, kind, order, size, count = _HEADER.unpack(header)
        self.segments: list[tuple[int, ...]] = []
        self.machine = 0
        if (magic, kind, order, size) == (b"\x7fELF", 2, 1, _SEGMENT.size):
            (self.machine,) = struct.unpack_from("<H", header, _MACHINE_AT)
            (start,) = struct.unpack_from("<Q", header, _HEADERS_AT)
            raw = os.pread(fd, size * count, start)
            self.segments = [_SEGMENT.unpack_from(raw, at) for at in range(0, size * count, size)]

    @cached_property
    def _entries(self) -> list[tuple[int, int]]:
        dynamic = next((item for item in self.segments if item[0] == _DYNAMIC), None)
        if dynamic is None:
            return []
        entries = os.pread(self._fd, min(dynamic[5], _MOST), dynamic[2])
        return list(_ENTRY.iter_unpack(entries[: len(entries) // _ENTRY.size * _ENTRY.size]))

    @cached_property
    def _tags(self) -> dict[int, int]:
        return dict(self._entries)

    def needed(self) -> list[str]:
        """Libraries, by name."""
        elsewhere = [_NOWHERE] * (not {_RPATH, _RUNPATH}.isdisjoint(self._tags))
        places = [at for tag, at in self._entries if tag == _NEEDED]
        return elsewhere + [self._text(self.names, at) for at in places]

    @staticmethod
    def _text(names: bytes, at: int) -> str:
        return names[at : names.index(b"\0", at)].decode("ascii", "replace")

    @property
    def names(self) -> bytes:
        """The dynamic string table."""
        return self._at(self._tags.get(_STRTAB, 0), self._tags.get(_STRSZ, 0))

    def _at(self, address: int, length: int) -> bytes:
        """What is loaded to an address."""
        for kind, _, offset, virtual, _, in_file, *_ in self.segments:
            if kind == _LOAD and virtual <= address < virtual + in_file:
                length = min(length, _MOST, virtual + in_file - address)
                return os.pread(self._fd, length, offset + address - virtual)
        return b""

    def relocations(self) -> Iterable[tuple[int, int, str]]:
        """(address, kind, function) of each pointer to a function of a library."""
        names, symbols = self.names, self._at(self._tags.get(_SYMTAB, 0), _MOST)
        for start, size in ((_RELA, _RELASZ), (_JMPREL, _PLTRELSZ)):
            raw = self._at(self._tags.get(start, 0), self._tags.get(size, 0))
            whole = raw[: len(raw) // _RELOCATION.size * _RELOCATION.size]
            for address, info, _ in _RELOCATION.iter_unpack(whole):
                if number := info >> 32:
                    (at,) = _SYMBOL.unpack_from(symbols, number * _SYMBOL.size)
                    yield address, info & 0xFFFFFFFF, self._text(names, at)

    def code(self) -> tuple[bytes, int]:
        """What it runs, and its address."""
        for kind, flags, offset, virtual, _, in_file, *_ in self.segments:
            if kind == _LOAD and flags & _RUNS and in_file <= _MOST_CODE:
                return os.pread(self._fd, in_file, offset), virtual
        return b"", 0


_STUB = re.compile(rb"\xff\x25", re.DOTALL)
_CALL = re.compile(rb"\xe8|\xe9", re.DOTALL)
_THROUGH_POINTER = re.compile(rb"\xff[\x15\x25]|\x8b[\x05\x0d\x15\x1d\x25\x2d\x35\x3d]", re.DOTALL)
_BEFORE_STUB = (0, 1, 4, 5)
"""Bytes before the jump of a stub at which calls enter it: bnd, endbr64, both."""
_DISTANCE = struct.Struct("<i")


class ProgramCode:
    """The code of a program of x86-64, and what of its libraries it calls."""

    def __init__(self, file: _File) -> None:
        """It holds nothing of a file that is no such program."""
        self._code, self._start = file.code() if file.machine == _X86_64 else (b"", 0)
        self._slots: dict[int, str] = {}
        self._elsewhere: set[str] = set()
        """Functions whose address stands in data."""
        for address, kind, name in file.relocations() if self._code else ():
            if kind in _POINTERS:
                self._slots[address] = name
            else:
                self._elsewhere.add(name)
        self._stubs: dict[int, str] = {}
        for match in _STUB.finditer(self._code):
            if target := self._slots.get(self._aim(match.end())):
                for before in _BEFORE_STUB:
                    self._stubs.setdefault(self._start + match.start() - before, target)
        self._known: dict[int, Instruction | None] = {}

    def _aim(self, at: int) -> int:
        """What a distance at this offset of the code leads to; -1: it ends before."""
        if at + 4 > len(self._code):
            return -1
        (distance,) = _DISTANCE.unpack_from(self._code, at)
        return self._start + at + 4 + int(distance)

    def at(self, address: int) -> Instruction | None:
        """The instruction there."""
        if address not in self._known:
            offset = address - self._start
            inside = 0 <= offset < len(self._code) and len(self._known) < _MOST_INSTRUCTIONS
            self._known[address] = decode(self._code, offset, address) if inside else None
        return self._known[address]

    def import_of(self, instruction: Instruction) -> str | None:
        """The function of a library that it calls, or jumps to."""
        if instruction.slot is not None:
            return self._slots.get(instruction.slot)
        return self._stubs.get(instruction.target) if instruction.target is not None else None

    def returns_of(self, function: str) -> list[int]:
        """The addresses to which the calls of a function of a library return; none if it is called
        in other ways, too, or handed on."""
        if function in self._elsewhere:
            return []
        stubs = {at for at, name in self._stubs.items() if name == function}
        slots = {at for at, name in self._slots.items() if name == function}
        returns = []
        for pattern, aims in ((_CALL, stubs), (_THROUGH_POINTER, slots)):
            for match in pattern.finditer(self._code):
                if self._aim(match.end()) in aims:
                    at = self._start + match.start()
                    if match.group() in (b"\xe8", b"\xff\x15"):
                        returns.append(self._start + match.end() + 4)
                    elif at not in self._stubs:
                        return []
        return returns if len(returns) <= _MOST_CALLS else []
