"""Who calls the functions that ask for a capability, and for which: read from machine code.

Calls and jumps to a known address are found without disassembling everything: the four bytes after
the opcode are the distance; on arm64 it is 26 bits of the instruction. What was loaded last into
the argument's register before the call names the capability.
"""

from __future__ import annotations

import bisect
import lzma
import re
import struct
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.kernels.image import Code

CALL = 0xE8
_LAST_CAP = 40
_BACK = 96
"""So many bytes before the call the capability was put into its register."""
_REGISTERS = (b"\xbf", b"\xbe", b"\xba")
"""mov $imm32 to edi, esi, edx: the first, second and third argument."""
WRAPPERS = {
    **dict.fromkeys(("capable", "capable_noaudit", "sockopt_capable"), 0),
    **dict.fromkeys(("ns_capable", "ns_capable_noaudit", "ns_capable_setid"), 1),
    **dict.fromkeys(("has_capability", "has_capability_noaudit", "sockopt_ns_capable"), 1),
    **dict.fromkeys(("netlink_capable", "netlink_net_capable", "bpf_token_capable"), 1),
    **dict.fromkeys(("sk_capable", "sk_net_capable"), 1),
    **dict.fromkeys(("netlink_ns_capable", "__netlink_ns_capable", "sk_ns_capable"), 2),
    **dict.fromkeys(("has_ns_capability", "has_ns_capability_noaudit", "file_ns_capable"), 2),
    **dict.fromkeys(("capable_wrt_inode_uidgid", "security_capable", "cap_capable"), 2),
}
"""Function that passes a question on → which of its arguments is the capability."""
INITIAL = frozenset(
    [
        *("capable", "capable_noaudit", "has_capability", "has_capability_noaudit"),
        *("netlink_capable", "sk_capable", "sockopt_capable", "bpf_token_capable"),
    ]
)
"""Those that ask about the initial user namespace."""
_SUFFIX = re.compile(r"\.(isra|part|cold|constprop|llvm)\b.*")


@dataclass
class Asked:
    """One function that asks for one capability."""

    function: str
    cap: int | None
    wrappers: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Branch:
    """A call or a jump."""

    place: int
    """Of its opcode."""
    function: str
    jump: bool
    """It does not come back: the function does not stand in the stack of what it jumps to."""


def base_name(symbol: str) -> str:
    """The name of the function that the compiler made this part of."""
    return _SUFFIX.sub("", symbol)


def branches(code: Code, targets: Mapping[int, str]) -> Iterator[tuple[Branch, str]]:
    """All calls and jumps to one of these addresses, and whose it is."""
    starts = [address for address, _ in code.functions]
    for place, distance, jump in (_distances_arm64 if code.arm64 else _distances)(code.data):
        target = targets.get(code.address + place + distance)
        if target is None:
            continue
        at = bisect.bisect_right(starts, code.address + place) - 1
        if at >= 0:
            yield Branch(place, base_name(code.functions[at][1]), jump), target


def _distances(data: bytes) -> Iterator[tuple[int, int, bool]]:
    """(place, distance, whether it is a jump) of all that can be a call or a jump."""
    for found in re.finditer(rb"[\xe8\xe9]|\x0f[\x80-\x8f]", data[:-6]):
        (distance,) = struct.unpack_from("<i", data, found.end())
        yield found.start(), found.end() + 4 - found.start() + distance, data[found.start()] != CALL


def _distances_arm64(data: bytes) -> Iterator[tuple[int, int, bool]]:
    """The same of ``bl`` and ``b``."""
    for found in re.finditer(rb"[\x14-\x17\x94-\x97]", data):
        if found.start() & 3 == 3:
            place = found.start() - 3
            (word,) = struct.unpack_from("<I", data, place)
            far = word & 0x3FFFFFF
            yield place, 4 * (far - (far >> 25 << 26)), not word >> 31


def capability(code: Code, place: int, argument: int) -> int | None:
    """The number that was loaded last before a call; None where no constant was. Neither is 0
    (CHOWN) told: registers are cleared for many reasons."""
    before = code.data[max(0, place - _BACK) : place]
    if code.arm64:
        return _capability_arm64(before, argument)
    at = len(before)
    while (at := before.rfind(_REGISTERS[argument], 0, at)) >= 0:
        if at + 5 <= len(before):
            (value,) = struct.unpack_from("<I", before, at + 1)
            if 0 < value <= _LAST_CAP:
                return int(value)
    return None


def _capability_arm64(before: bytes, argument: int) -> int | None:
    """The same of ``mov w0, #number`` (movz), or of w1, w2."""
    for (word,) in reversed(list(struct.iter_unpack("<I", before))):
        value = word >> 5 & 0xFFFF
        if word & 0xFFE0001F == 0x52800000 | argument and 0 < value <= _LAST_CAP:
            return int(value)
    return None


def askers(code: Code, arguments: Mapping[int, tuple[str, int]]) -> list[Asked]:
    """Who asks, in one piece of code. ``arguments``: address of a wrapper → (name, argument).

    A function whose question is its last act jumps there: then its callers stand in the stack.
    """
    known: dict[tuple[str, int | None], Asked] = {}
    targets = {address: name for address, (name, _) in arguments.items()}
    position = {name: argument for name, argument in arguments.values()}
    jumping: dict[str, list[tuple[int | None, str]]] = {}
    for branch, wrapper in branches(code, targets):
        if branch.function in WRAPPERS:
            continue
        cap = capability(code, branch.place, position[wrapper])
        if branch.jump:
            jumping.setdefault(branch.function, []).append((cap, wrapper))
        else:
            _note(known, branch.function, cap, wrapper)
    for _ in range(3):
        jumping = _callers(code, known, jumping)
    return list(known.values())


def _callers(
    code: Code,
    known: dict[tuple[str, int | None], Asked],
    jumping: dict[str, list[tuple[int | None, str]]],
) -> dict[str, list[tuple[int | None, str]]]:
    """Those that call what jumps; what comes back jumps itself."""
    targets = {address: name for address, name in code.functions if base_name(name) in jumping}
    further: dict[str, list[tuple[int | None, str]]] = {}
    for branch, callee in branches(code, targets):
        name = base_name(callee)
        if branch.function == name:
            continue
        for cap, wrapper in jumping[name]:
            if branch.jump:
                further.setdefault(branch.function, []).append((cap, wrapper))
            else:
                _note(known, branch.function, cap, wrapper)
    return further


def _note(
    known: dict[tuple[str, int | None], Asked], function: str, cap: int | None, wrapper: str
) -> None:
    known.setdefault((function, cap), Asked(function, cap)).wrappers.add(wrapper)


def of_image(code: Code) -> list[Asked]:
    """Who asks in the kernel itself."""
    arguments = {
        address: (name, WRAPPERS[name]) for address, name in code.functions if name in WRAPPERS
    }
    return askers(code, arguments)


def of_module(path: Path) -> list[Asked]:
    """Who asks in a module (.ko, .ko.xz, .ko.zst)."""
    elf = _read_module(path)
    if b"capable" not in elf and b"has_" not in elf:
        return []
    return askers(*_module(elf))


def functions_of_module(path: Path) -> Iterator[str]:
    """The names of all functions in a module."""
    elf = _read_module(path)
    for name, section, _, kind in _symbols(elf, _sections(elf)):
        if kind == 2 and section:
            yield name


def _read_module(path: Path) -> bytes:
    data = path.read_bytes()
    if path.suffix == ".zst":
        return subprocess.run(["zstd", "-dcq"], input=data, capture_output=True, check=True).stdout
    return lzma.decompress(data) if path.suffix == ".xz" else data


_EXTERNAL = 1 << 26
"""Where the functions of the kernel are thought to lie: arm64 calls no farther than 128 MB."""
_AARCH64 = 183
_BRANCHES_ARM64 = (282, 283)
"""EM_AARCH64, R_AARCH64_JUMP26 and R_AARCH64_CALL26 of elf.h."""


def _module(elf: bytes) -> tuple[Code, dict[int, tuple[str, int]]]:
    """All code of a module, laid out in a row, with its calls to wrappers resolved."""
    arm64 = struct.unpack_from("<H", elf, 18)[0] == _AARCH64
    sections = _sections(elf)
    symbols = _symbols(elf, sections)
    places: dict[int, int] = {}
    whole = bytearray()
    for number, (kind, flags, offset, size, *_) in enumerate(sections):
        if kind == 1 and flags & 4:  # SHT_PROGBITS, SHF_EXECINSTR
            places[number] = len(whole)
            whole += elf[offset : offset + size] + b"\x90" * (16 + -size % 16)
    external: dict[str, int] = {}
    for kind, _, offset, size, _, target in sections:
        if kind != 4 or target not in places:  # SHT_RELA
            continue
        for where, info, addend in struct.iter_unpack("<QQq", elf[offset : offset + size]):
            name, section, value, _ = symbols[info >> 32]
            if arm64 and info & 0xFFFFFFFF not in _BRANCHES_ARM64:
                continue
            if section in places:
                to = places[section] + value + addend + (0 if arm64 else 4)
            elif name in WRAPPERS:
                to = external.setdefault(name, _EXTERNAL + 16 * len(external))
            else:
                continue
            at = places[target] + where
            word = (to - at - 4) & 0xFFFFFFFF
            if arm64:
                word = whole[at + 3] << 24 & 0xFC000000 | (to - at) >> 2 & 0x3FFFFFF
            whole[at : at + 4] = struct.pack("<I", word)
    functions = sorted(
        (places[section] + value, name)
        for name, section, value, kind in symbols
        if kind == 2 and section in places
    )
    wrappers = {address: (name, WRAPPERS[name]) for name, address in external.items()}
    return Code(0, bytes(whole), functions, arm64), wrappers


def _sections(elf: bytes) -> list[tuple[int, int, int, int, int, int]]:
    """(type, flags, offset, size, link, info) of each section."""
    (table,) = struct.unpack_from("<Q", elf, 40)
    _, count, _ = struct.unpack_from("<HHH", elf, 58)
    found = []
    for number in range(count):
        _, kind, flags, _, offset, size, link, info = struct.unpack_from(
            "<IIQQQQII", elf, table + 64 * number
        )
        found.append((kind, flags, offset, size, link, info))
    return found


def _symbols(
    elf: bytes, sections: list[tuple[int, int, int, int, int, int]]
) -> list[tuple[str, int, int, int]]:
    """(name, section, value, type) of each symbol."""
    symbols = []
    for kind, _, offset, size, link, _ in sections:
        if kind == 2:  # SHT_SYMTAB
            names = sections[link][2]
            for name, info, _, section, value, _ in struct.iter_unpack(
                "<IBBHQQ", elf[offset : offset + size]
            ):
                end = elf.index(b"\0", names + name)
                symbols.append((elf[names + name : end].decode(), section, value, info & 15))
    return symbols
