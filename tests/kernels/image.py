"""A kernel image as machine code with names: unpacked, its symbols read from its own kallsyms.

Stripped images have no symbol table, but every kernel can print one: /proc/kallsyms is made of
tables in the image (scripts/kallsyms.c). Their order and form changed; all are tried.
"""

from __future__ import annotations

import itertools
import lzma
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_XZ, _ZSTD = b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd"
_DIGITS = b"".join(bytes([digit]) + b"\0" for digit in b"0123456789")
"""Tokens 0x30 to 0x39 of kallsyms are the digits themselves."""
_FIRST, _LAST = 0xFFFFFFFF80000000, 0xFFFFFFFFC0000000
"""Where the kernel's image lies (Documentation/arch/x86/x86_64/mm.rst)."""
_BASE, _MOST = 0xFFFF800080000000, 1 << 30
"""Where it lies on arm64 since Linux 6.5, and how long it can be at most. The base of an older
one's symbols is 0 in the file: it is filled in when the kernel starts."""
_HEAD = 0x10000
"""So much comes before the code."""
_ARM64 = b"ARM\x64"
"""At byte 56 of an image that is not compressed (Documentation/arch/arm64/booting.rst)."""
_EXECUTABLE = 1
_LOAD = 1


@dataclass(frozen=True)
class Code:
    """Machine code at its address, and the functions in it by address."""

    address: int
    data: bytes
    functions: list[tuple[int, str]]
    """Sorted."""
    arm64: bool = False


def unpack(bzimage: bytes) -> bytes:
    """The ELF file in a bzImage (Documentation/arch/x86/boot.rst: payload_offset)."""
    sectors = bzimage[0x1F1] or 4
    offset, length = struct.unpack_from("<II", bzimage, 0x248)
    start = (sectors + 1) * 512 + offset
    payload = bzimage[start : start + length]
    if payload.startswith(_XZ):
        return lzma.LZMADecompressor().decompress(payload)
    if payload.startswith(_ZSTD):
        command = ["zstd", "-dcq"]  # the length of the image follows: zstd objects, at the end
        return subprocess.run(command, input=payload[:-4], capture_output=True).stdout
    raise SystemExit(f"a kernel that is compressed in another way: {payload[:6].hex()}")


def read(path: Path) -> Code:
    """The code of a bzImage, or of arm64's Image."""
    raw = path.read_bytes()
    if raw[56:60] == _ARM64:
        return _flat(raw)
    elf = unpack(raw)
    segments = list(_segments(elf))
    address, offset, size = next((a, o, s) for a, o, s, flags in segments if flags & _EXECUTABLE)
    names = sorted(set(_symbols(elf)))
    end = address + size
    return Code(
        address,
        elf[offset : offset + size],
        [(where, name) for where, name in names if address <= where < end],
    )


def _flat(image: bytes) -> Code:
    """An image that is in memory as it is in the file. All of it is taken for code; what is not is
    below no function's name."""
    names = sorted(set(_symbols(image)))
    place = {name: where for where, name in names}
    start = place["_stext"] - _HEAD  # Linux 6.1 lists no _text
    functions = [(where, name) for where, name in names if start <= where < place["_einittext"]]
    return Code(start, image[: place["_einittext"] - start], functions, arm64=True)


def _segments(elf: bytes) -> Iterator[tuple[int, int, int, int]]:
    """(address, offset in the file, size, flags) of what is loaded."""
    if elf[56:60] == _ARM64:
        yield _BASE, 0, len(elf), _EXECUTABLE
        return
    (table,) = struct.unpack_from("<Q", elf, 32)
    size, count = struct.unpack_from("<HH", elf, 54)
    for number in range(count):
        kind, flags, offset, address, _, length = struct.unpack_from(
            "<IIQQQQ", elf, table + number * size
        )
        if kind == _LOAD:
            yield address, offset, length, flags


def _symbols(elf: bytes) -> Iterator[tuple[int, str]]:
    """(address, name) of functions."""
    tokens, index_end = _tokens(elf)
    names, count, begin = _names(elf, tokens[0])
    addresses = _addresses(elf, index_end, begin, count)
    place = names
    for number in range(count):
        length = elf[place]
        place += 1
        if length & 0x80:  # since 6.1 names can be longer than 127
            length = length & 0x7F | elf[place] << 7
            place += 1
        name = b"".join(_token(elf, tokens, code) for code in elf[place : place + length])
        place += length
        if name[:1] in b"tTwW":
            yield addresses[number], name[1:].decode(errors="replace")


def _tokens(elf: bytes) -> tuple[list[int], int]:
    """Where each token begins, and where their index ends."""
    at = -1
    while (at := elf.find(_DIGITS, at + 1)) >= 0:
        start = at
        for _ in range(0x30):
            start = elf.rfind(b"\0", 0, start - 1) + 1
        starts = [start]
        for _ in range(255):
            starts.append(elf.find(b"\0", starts[-1]) + 1)
        # of the table that comes before, the last byte can be another one than 0
        for first in (start, *range(-(-start // 8) * 8, starts[1], 8)):
            starts[0] = first
            index = struct.pack("<256H", *((where - first) & 0xFFFF for where in starts))
            found = elf.find(index, start, starts[-1] + 4096)
            if found >= 0:
                return starts, found + 512
    raise SystemExit("no table of symbols in this kernel")


def _token(elf: bytes, tokens: list[int], code: int) -> bytes:
    return elf[tokens[code] : elf.index(b"\0", tokens[code])]


def _names(elf: bytes, tokens: int) -> tuple[int, int, int]:
    """(where the names begin, how many there are, where their number stands)."""
    place = tokens & ~3
    markers: list[int] = []
    while True:
        place -= 4
        (value,) = struct.unpack_from("<I", elf, place)
        if markers and value >= markers[0]:
            markers = []  # padding, or the table that follows
        markers.insert(0, value)
        if value == 0 and len(markers) > 100:
            break
    last = place - markers[-1]
    for begin in range(last & ~7, (last & ~7) - 40_000, -4):
        (count,) = struct.unpack_from("<I", elf, begin)
        if (count + 255) >> 8 == len(markers):
            for names in (begin + 4, begin + 8):
                if _block(elf, names) == markers[1]:
                    return names, count, begin
    raise SystemExit("the names of this kernel's symbols were not found")


def _block(elf: bytes, place: int) -> int:
    """How long 256 names are."""
    start = place
    for _ in range(256):
        length = elf[place]
        place += 1
        if length & 0x80:
            length = length & 0x7F | elf[place] << 7
            place += 1
        place += length
    return place - start


def _addresses(elf: bytes, index_end: int, begin: int, count: int) -> list[int]:
    """Of all symbols. Since 7.0 each is stored as its distance from where it is stored; before, as
    that from a base that follows them, and up to 6.3 all of it came before the names."""
    size = (4 * count + 7) & ~7
    ends = [(begin - 8 - size, begin - 8)]
    ends += [(at, (at + size) & ~7) for at in range(index_end & ~7, (index_end & ~7) + 16, 4)]
    for offsets, base in ends:
        values = struct.unpack_from(f"<{count}i", elf, offsets)
        (relative,) = struct.unpack_from("<Q", elf, base)
        relative = relative or _BASE
        here = _address(elf, offsets)
        for addresses in (
            [here + 4 * number + value for number, value in enumerate(values)],
            [relative + value for value in values],
            [relative - 1 - value if value < 0 else value for value in values],
        ):
            if _plausible(addresses):
                return addresses
    raise SystemExit("the addresses of this kernel's symbols were not found")


def _plausible(addresses: list[int]) -> bool:
    """They are sorted, and nearly all are those of the kernel's image. On arm64 that begins at a
    multiple of 64 KB."""
    for first, last in ((_FIRST, _LAST), (_BASE, _BASE + _MOST)):
        inside = [where for where in addresses if first <= where < last]
        if len(inside) > len(addresses) // 2 and (first == _FIRST or not inside[0] & 0xFFFF):
            return inside[-1] > inside[0] and all(a <= b for a, b in itertools.pairwise(inside))
    return False


def _address(elf: bytes, place: int) -> int:
    """Where a byte of the file is loaded."""
    for address, offset, size, _ in _segments(elf):
        if offset <= place < offset + size:
            return address + place - offset
    raise SystemExit("kallsyms lies outside what is loaded")
