"""How two stopped copies differ in their memory."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

from capadvise.linux.copies.thread import CopiedThread, CpuRegisters

PAGE = 4096
_RED_ZONE = 128
"""Bytes below the stack pointer that a function may use (System V ABI for x86-64)."""
_OF_THREAD = 8192
"""Bytes around the thread pointer: errno, and what else the C library keeps of a thread."""
_MOST_PAGES = 1 << 14
"""64 MiB of one range."""
_PRESENT, _OURS_ALONE = 1 << 63, 1 << 56
"""Documentation/admin-guide/mm/pagemap.rst: a page that a copy has written to is its alone."""
_MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ (\d+) *(.*)")
STACK_WORDS = 4
"""So many words of the stack differ without a meaning: the result itself lies in a variable."""


class MemoryRange(NamedTuple):
    """A range of addresses of a process."""

    start: int
    end: int
    mode: str
    inode: int
    name: str

    @property
    def is_shared(self) -> bool:
        """What one process writes there, others see."""
        return "w" in self.mode and "s" in self.mode


def mappings(thread: CopiedThread) -> list[MemoryRange]:
    """All of a process. Raises OSError."""
    ranges = []
    text = (thread.folder / "maps").read_text(errors="replace")
    for match in map(_MAPPING.match, text.splitlines()):
        if match:
            start, end, mode, inode, name = match.groups()
            ranges.append(MemoryRange(int(start, 16), int(end, 16), mode, int(inode), name))
    return ranges


def marked(one: CopiedThread, other: CopiedThread, at: CpuRegisters) -> bool:
    """Whether two copies that have come to the same place differ in more than the result of the
    call: in a message, a flag, a counter. Where memory cannot be compared, they do."""
    try:
        ranges = mappings(one)
        if [r[:3] for r in ranges if "w" in r.mode] != [
            r[:3] for r in mappings(other) if "w" in r.mode
        ]:
            return True
        on_stack = 0
        for address in _differing_words(one, other, ranges, at.rsp - _RED_ZONE):
            if abs(address - at.fs_base) < _OF_THREAD:
                continue
            if not _is_stack(address, ranges, at.rsp):
                return True
            on_stack += 1
            if on_stack > STACK_WORDS:
                return True
    except OSError:
        return True
    return False


def _is_stack(address: int, ranges: list[MemoryRange], pointer: int) -> bool:
    return any(r.start <= pointer < r.end and r.start <= address < r.end for r in ranges)


def _differing_words(
    one: CopiedThread, other: CopiedThread, ranges: list[MemoryRange], live: int
) -> Iterator[int]:
    """Addresses of the words of four bytes that differ. ``live``: the stack's part below is
    dead."""
    for mapping in ranges:
        if "w" not in mapping.mode:
            continue
        start = mapping.start
        if mapping.start <= live < mapping.end:
            start = live & -PAGE
        for page in _own_pages(one, other, start, mapping.end):
            mine, others = one.bytes_at(page, PAGE), other.bytes_at(page, PAGE)
            if mine == others:
                continue
            words = zip(
                struct.iter_unpack("<I", mine), struct.iter_unpack("<I", others), strict=False
            )
            for at, (a, b) in enumerate(words):
                address = page + 4 * at
                if a != b and not mapping.start <= address < live < mapping.end:
                    yield address


def _own_pages(one: CopiedThread, other: CopiedThread, start: int, end: int) -> Iterator[int]:
    """The pages that either has written to since they were forked."""
    count = (end - start) // PAGE
    if count > _MOST_PAGES:
        raise OSError("too many pages")
    tables = []
    for thread in (one, other):
        with open(thread.folder / "pagemap", "rb", buffering=0) as file:
            tables.append(os.pread(file.fileno(), 8 * count, start // PAGE * 8))
    alone = _PRESENT | _OURS_ALONE
    entries = zip(*(struct.iter_unpack("<Q", table) for table in tables), strict=False)
    for at, pair in enumerate(entries):
        if any(entry & alone == alone for (entry,) in pair):
            yield start + PAGE * at
