"""Decoding the binary trace ring buffer: pages in, events out. Pure; reads no files.

The page layout is that of ``events/header_page`` and ``events/header_event``; the kernel's side is
kernel/trace/ring_buffer.c. Only the fields of an event differ between kernels: they are taken from
the ``format`` files.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

_PAGE_HEADER = struct.Struct("<QQ")
_U32 = struct.Struct("<I")
_WORDS = struct.Struct("<IIII")
"""The head of an event, its length if that does not fit into the head, its type, and its pid: read
at once, for this is what takes the time in a flood."""
_PADDING, _TIME_EXTEND = 29, 30  # 31: a whole time stamp
_MISSED_EVENTS, _MISSED_STORED = 1 << 31, 1 << 30
_STACK_SIZE = struct.Struct("<8xi")
_STACK_OFFSET = 16


@dataclass(frozen=True, slots=True)
class Field:
    """The place of a field in an event."""

    offset: int
    size: int
    signed: bool


@dataclass(frozen=True, slots=True)
class EventFormat:
    """One event type of the running kernel."""

    id: int
    fields: dict[str, Field]

    def unpacker(self, *names: str) -> struct.Struct:
        """A Struct that reads these scalar fields, which must be in order of offset."""
        codes, at = "<", 0
        for name in names:
            field = self.fields[name]
            code = {1: "b", 2: "h", 4: "i", 8: "q"}[field.size]
            codes += f"{field.offset - at}x{code if field.signed else code.upper()}"
            at = field.offset + field.size
        return struct.Struct(codes)


_FIELD = r"field:[^;]*?\b(\w+)(?:\[\w*\])?;\s*offset:(\d+);\s*size:(\d+);\s*signed:([01]);"


def parse_format(text: str) -> EventFormat:
    """A ``format`` file of tracefs."""
    match = re.search(r"^ID: (\d+)$", text, re.MULTILINE)
    if not match:
        raise ValueError("no ID in this event format")
    fields = {
        name: Field(int(offset), int(size), signed == "1")
        for name, offset, size, signed in re.findall(_FIELD, text)
    }
    return EventFormat(int(match[1]), fields)


Event = tuple[int, int, int, bytes]
"""Time stamp (ns), type, pid, and the whole event."""


def events(page: bytes) -> Iterator[Event]:
    """The events of one page, oldest first."""
    time, commit = _PAGE_HEADER.unpack_from(page)
    end = min(len(page), 16 + (commit & 0xFFFFF))
    page += bytes(8)  # so that four words can be read where the last event begins
    words = _WORDS.unpack_from
    at = 16
    while at + 8 <= end:  # what is shorter can only be the padding at the end
        head, first, second, third = words(page, at)
        kind, delta = head & 31, head >> 5
        if 0 < kind < _PADDING:
            time += delta
            start = at + 4
            at = start + kind * 4
            if at > end or kind == 1:
                return
            yield time, first & 0xFFFF, second, page[start:at]
        elif not kind:
            time += delta
            start = at + 8
            at += 4 + first
            if at > end or first < 12:
                return
            yield time, second & 0xFFFF, third, page[start:at]
        elif kind == _PADDING:
            if not delta:
                return
            time += delta
            at += 4 + first
        elif kind == _TIME_EXTEND:
            time += delta + (first << 27)
            at += 8
        else:
            low = delta + (first << 27)
            time = low | time & ~((1 << 59) - 1)  # the upper bits do not fit into the event
            at += 8


def missed(page: bytes) -> int:
    """How many events were overwritten before this page; 0 if none, or if the page does not say."""
    _, commit = _PAGE_HEADER.unpack_from(page)
    if not commit & _MISSED_EVENTS:
        return 0
    at = 16 + (commit & 0xFFFFF)
    if commit & _MISSED_STORED and at + 8 <= len(page):
        return int(struct.unpack_from("<Q", page, at)[0])
    return 1


def stack(event: bytes) -> bytes:
    """The return addresses of a ``kernel_stack`` event, 8 bytes each, innermost first."""
    if len(event) < _STACK_OFFSET:
        return b""
    (size,) = _STACK_SIZE.unpack_from(event)
    return event[_STACK_OFFSET : _STACK_OFFSET + 8 * size]


def text(event: bytes, offset: int) -> str:
    """The string behind a ``__data_loc`` field. Hostile: escape before showing it."""
    (where,) = _U32.unpack_from(event, offset)
    raw = event[where & 0xFFFF : (where & 0xFFFF) + (where >> 16)]
    return raw.split(b"\0", 1)[0].decode(errors="backslashreplace")
