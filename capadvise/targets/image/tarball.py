"""Reading tar streams that others made: one entry after the other, in bounded memory.

Python's tarfile keeps every member that it has seen and reads extension headers whole, however
large they say they are. An image is hostile input, so the format is read here: ustar, PAX and GNU
(https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html, tar.5 of libarchive).
"""

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

_BLOCK = 512
_CHUNK = 1 << 16
_MAX_EXTENSION = 1 << 20
"""Bytes of one extension header: long names and extended attributes (64 KiB at most each)."""
_CAPABILITY = b"SCHILY.xattr.security.capability"


class BadArchive(ValueError):
    """The stream is no tar archive, or a broken one."""


class Stream(Protocol):
    """Anything that can be read from: a pipe, a file, a member of another archive."""

    def read(self, size: int, /) -> bytes: ...


class Kind(StrEnum):
    """The kinds of entries."""

    FILE = "file"
    HARD_LINK = "hard link"
    DIRECTORY = "directory"
    OTHER = "other"


_KINDS = {b"0": Kind.FILE, b"\0": Kind.FILE, b"7": Kind.FILE, b"S": Kind.FILE}
_KINDS |= {b"1": Kind.HARD_LINK, b"5": Kind.DIRECTORY}
_WITHOUT_BODY = (b"1", b"2", b"3", b"4", b"5", b"6")


@dataclass(frozen=True, slots=True)
class Member:
    """One entry. Names are hostile: escape them before showing them."""

    path: str
    """Absolute and without ``..``, as it will be seen below the root."""
    kind: Kind
    mode: int
    uid: int
    gid: int
    link: str = ""
    """The target of a link; for a hard link, a path like ``path``."""
    capability: bytes | None = None
    """The extended attribute ``security.capability``."""


class Body:
    """The content of an entry, to be read before the next entry, or not at all."""

    def __init__(self, stream: Stream, size: int) -> None:
        self._stream, self._left, self._padding = stream, size, -size % _BLOCK
        self.size = size
        self._peeked = b""

    def read(self, size: int = -1, /) -> bytes:
        """Up to ``size`` bytes; fewer only at the end."""
        size = self._left + len(self._peeked) if size < 0 else size
        head, self._peeked = self._peeked[:size], self._peeked[size:]
        wanted = min(size - len(head), self._left)
        self._left -= wanted
        return head + _exactly(self._stream, wanted)

    def peek(self, size: int) -> bytes:
        """The next bytes, which are still to be read."""
        self._peeked = self.read(size) + self._peeked
        return self._peeked[:size]

    def skip(self) -> None:
        """Pass over the rest and the padding."""
        left = self._left + self._padding
        self._left = self._padding = 0
        self._peeked = b""
        while left:
            left -= len(_exactly(self._stream, min(left, _CHUNK)))


def entries(stream: Stream) -> Iterator[tuple[Member, Body]]:
    """The entries of an archive with their contents. Raises BadArchive."""
    long_name = long_link = b""
    pax: dict[bytes, bytes] = {}
    while (block := _header(stream)) is not None:
        kind = block[156:157]
        size = _number(pax.get(b"size"), block[124:136])
        if kind in (b"x", b"g", b"L", b"K"):
            body = Body(stream, _number(None, block[124:136]))
            if body.size > _MAX_EXTENSION:
                raise BadArchive(f"an extension header of {body.size} bytes")
            content = body.read()
            body.skip()
            if kind == b"x":
                pax = _records(content)
            elif kind == b"L":
                long_name = content.split(b"\0", 1)[0]
            elif kind == b"K":
                long_link = content.split(b"\0", 1)[0]
            continue  # global headers say nothing of a single file
        if kind == b"S":
            more = block[482]
            while more:  # the map of its holes
                more = _exactly(stream, _BLOCK)[504]
        body = Body(stream, 0 if kind in _WITHOUT_BODY else size)
        name = pax.get(b"path") or long_name or _name(block)
        link = pax.get(b"linkpath") or long_link or _string(block[157:257])
        as_kind = _KINDS.get(kind, Kind.OTHER)
        yield (
            Member(
                path=_path(name),
                kind=as_kind,
                mode=_number(None, block[100:108]) & 0o7777,
                uid=_number(pax.get(b"uid"), block[108:116]),
                gid=_number(pax.get(b"gid"), block[116:124]),
                link=_path(link) if as_kind is Kind.HARD_LINK else _text(link),
                capability=pax.get(_CAPABILITY),
            ),
            body,
        )
        body.skip()
        pax, long_name, long_link = {}, b"", b""


def _header(stream: Stream) -> bytes | None:
    """The next header block; None at the end, which is a block of zeros."""
    block = stream.read(_BLOCK)
    if not block or not block.strip(b"\0"):
        return None
    if len(block) < _BLOCK:
        block += _exactly(stream, _BLOCK - len(block))
    if sum(block[:148]) + sum(block[156:]) + 8 * 0x20 != _number(None, block[148:156]):
        raise BadArchive("not a tar archive: a header has the wrong checksum")
    return block


def _exactly(stream: Stream, size: int) -> bytes:
    """Read this many bytes, though a pipe gives fewer at a time."""
    parts = []
    while size:
        part = stream.read(min(size, 1 << 20))
        if not part:
            raise BadArchive("the archive ends too early")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _number(extended: bytes | None, field: bytes) -> int:
    """A PAX value in decimal, else octal text or GNU's binary form; never negative."""
    try:
        if extended is not None:
            value = int(extended) if len(extended) < 21 else -1
        elif field[0] & 0x80:
            value = int.from_bytes(field, "big") - (1 << 8 * len(field) - 1)
        else:
            value = int(field.split(b"\0", 1)[0].strip() or b"0", 8)
    except ValueError as error:
        raise BadArchive(f"not a number: {(extended or field)!r:.40}") from error
    if not 0 <= value < 1 << 63:
        raise BadArchive(f"a number out of range: {(extended or field)!r:.40}")
    return value


def _records(content: bytes) -> dict[bytes, bytes]:
    """``LENGTH KEY=VALUE\\n`` …: a value can hold any byte."""
    records = {}
    at = 0
    while at < len(content):
        digits, space, _ = content[at : at + 12].partition(b" ")
        if not space or not digits.isdigit() or not 4 < int(digits) <= len(content) - at:
            raise BadArchive("a broken PAX header")
        end = at + int(digits)
        key, _, value = content[at + len(digits) + 1 : end - 1].partition(b"=")
        records[key] = value
        at = end
    return records


def _name(block: bytes) -> bytes:
    name = _string(block[:100])
    prefix = _string(block[345:500]) if block[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name


def _string(field: bytes) -> bytes:
    return field.split(b"\0", 1)[0]


def _text(raw: bytes) -> str:
    return raw.decode(errors="backslashreplace")


def _path(raw: bytes) -> str:
    return posixpath.normpath("/" + _text(raw).lstrip("/"))
