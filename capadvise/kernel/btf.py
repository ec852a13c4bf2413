"""The kernel's description of its structures (BTF), as far as our BPF programs need it.

Reference: Documentation/bpf/btf.rst of the kernel.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from capadvise.model.errors import CannotObserve

VMLINUX = Path("/sys/kernel/btf/vmlinux")
_HEADER = struct.Struct("<HBBIIIII")
_MAGIC = 0xEB9F
_TYPE, _MEMBER, _ENUMERATOR = struct.Struct("<III"), struct.Struct("<III"), struct.Struct("<Ii")
_STRUCT, _ENUM, _FUNC = 4, 6, 12
_BEHIND = {1: 4, 3: 12, 14: 4, 17: 4}
"""Bytes behind a type of some kinds, whatever it has."""
_BEHIND_EACH = {4: 12, 5: 12, 6: 8, 13: 8, 15: 12, 19: 12}
"""Bytes for each member, enumerator or parameter."""


@dataclass(frozen=True, slots=True)
class Btf:
    """The answer to ``load``: places and numbers in the kernel's BTF."""

    offsets: Mapping[tuple[str, str], int]
    """(structure, member) → where it stands, in bytes."""
    enumerators: Mapping[str, int]
    functions: Mapping[str, int]
    """Name → number, by which a program is attached to it."""


def load(
    members: Mapping[str, Sequence[str]],
    *,
    enumerators: Sequence[str] = (),
    functions: Sequence[str] = (),
    path: Path = VMLINUX,
) -> Btf:
    """Look these up; the answer lacks those that the kernel lacks. Raises CannotObserve if it has
    no BTF at all."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise CannotObserve(
            f"cannot read {path}: {error.strerror}",
            hint="it takes a kernel that describes its structures (CONFIG_DEBUG_INFO_BTF)",
        ) from error
    try:
        return _parse(raw, members, enumerators, functions)
    except (struct.error, ValueError) as error:
        raise CannotObserve(f"{path} cannot be understood: {error}") from error


def _parse(
    raw: bytes,
    members: Mapping[str, Sequence[str]],
    enumerators: Sequence[str],
    functions: Sequence[str],
) -> Btf:
    magic, _, _, header, types, length, texts, texts_length = _HEADER.unpack_from(raw)
    if magic != _MAGIC:
        raise ValueError("no BTF")
    strings = raw[header + texts : header + texts + texts_length]

    def named(names: Sequence[str]) -> dict[int, str]:
        """Each text stands there once: types are compared by its place."""
        places = {strings.find(b"\0%s\0" % name.encode()) + 1: name for name in names}
        return {at: name for at, name in places.items() if at}

    structures, wanted = named(list(members)), named(functions)
    fields = {name: named(each) for name, each in members.items()}
    values = named(enumerators)
    offsets: dict[tuple[str, str], int] = {}
    numbers: dict[str, int] = {}
    kinds: dict[str, int] = {}
    at, number = header + types, 0
    end, read = at + length, _TYPE.unpack_from
    while at < end:
        name, info, _ = read(raw, at)
        number += 1
        at += 12
        kind, count = info >> 24 & 31, info & 0xFFFF
        if kind == _STRUCT and name in structures:
            bits = 0xFFFFFF if info >> 31 else 0xFFFFFFFF
            inside = fields[structures[name]]
            for place in range(at, at + 12 * count, 12):
                member, _, offset = _MEMBER.unpack_from(raw, place)
                if member in inside:
                    offsets[structures[name], inside[member]] = (offset & bits) // 8
        elif kind == _FUNC and name in wanted:
            numbers[wanted[name]] = number
        elif kind == _ENUM and values:
            for place in range(at, at + 8 * count, 8):
                label, value = _ENUMERATOR.unpack_from(raw, place)
                if label in values:
                    kinds[values[label]] = value
        at += _BEHIND.get(kind, 0) + _BEHIND_EACH.get(kind, 0) * count
    return Btf(offsets, enumerators=kinds, functions=numbers)
