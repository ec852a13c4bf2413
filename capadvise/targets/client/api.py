"""docker's API, on the daemon's own socket. What its client is asked takes a process and 20 ms of a
processor; the same answer takes none here, and a proof asks a hundred times.

Requests are HTTP/1.0: the answer ends where the connection does, events too.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from capadvise.targets.client.answer import NoAnswer, TooLate

_CHUNK = 1 << 16
_MANY_HEADERS = 1 << 14
"""Bytes; docker's have some hundred."""
_FRAME = struct.Struct(">B3xL")
"""Before each piece of a log: which stream, how many bytes."""
_MULTIPLEXED = b"application/vnd.docker.multiplexed-stream"
Value = str | int | Mapping[str, list[str]]


class NotFound(NoAnswer):
    """There is no such thing."""


@dataclass(frozen=True, slots=True)
class Api:
    """Of one daemon. The methods raise NoAnswer."""

    path: str
    """Of its socket."""

    def get(self, *words: str, seconds: float, **query: Value) -> Any:
        """What is told of something, by the words of its path."""
        try:
            return json.loads(self.read(*words, seconds=seconds, **query))
        except ValueError as error:
            raise NoAnswer("docker: ended in the middle of its answer") from error

    def read(self, *words: str, seconds: float, **query: Value) -> bytes:
        """As ``get``, as it comes."""
        return self._answer("GET", words, query, seconds)[1]

    def do(self, method: str, *words: str, seconds: float, **query: Value) -> None:
        """Change something."""
        self._answer(method, words, query, seconds)

    def logs(self, container: str, lines: int, seconds: float) -> tuple[bytes, bytes] | None:
        """The last lines of its standard output and error; None where this docker mixes them."""
        query: dict[str, Value] = {"stdout": 1, "stderr": 1, "tail": lines}
        headers, body = self._answer("GET", ("containers", container, "logs"), query, seconds)
        return _streams(body) if _MULTIPLEXED in headers else None

    def events(self, seconds: float, **query: Value) -> socket.socket:
        """What has happened since, and happens until it is closed: JSON, one a line."""
        peer, _ = self._asked("GET", ("events",), query, seconds)
        return peer

    def _answer(
        self, method: str, words: tuple[str, ...], query: Mapping[str, Value], seconds: float
    ) -> tuple[bytes, bytes]:
        """Headers and body."""
        peer, headers = self._asked(method, words, query, seconds)
        with peer, _told():
            return headers, b"".join(_chunks(peer))

    def _asked(
        self, method: str, words: tuple[str, ...], query: Mapping[str, Value], seconds: float
    ) -> tuple[socket.socket, bytes]:
        """The connection, at the beginning of the body, and the headers."""
        path = "/" + "/".join(quote(word, safe="") for word in words)
        texts = {name: _text(value) for name, value in query.items()}
        with _told():
            peer = socket.socket(socket.AF_UNIX)
            try:
                peer.settimeout(seconds)
                peer.connect(self.path)
                peer.sendall(f"{method} {path}?{urlencode(texts)} HTTP/1.0\r\n\r\n".encode())
                headers = _headers(peer)
                _require(headers, peer)
            except BaseException:
                peer.close()
                raise
        return peer, headers


def _text(value: Value) -> str:
    return json.dumps(value) if isinstance(value, Mapping) else str(value)


@contextmanager
def _told() -> Iterator[None]:
    """What a socket raises, as NoAnswer."""
    try:
        yield
    except TimeoutError as error:
        raise TooLate("docker: did not answer in time") from error
    except OSError as error:
        why = error.strerror or str(error)
        raise NoAnswer(f"docker: cannot be reached: {why}") from error


def _headers(peer: socket.socket) -> bytes:
    """Read so far, and not a byte of what follows."""
    seen = b""
    while b"\r\n\r\n" not in seen:
        more = peer.recv(_MANY_HEADERS, socket.MSG_PEEK)
        end = (seen + more).find(b"\r\n\r\n")
        size = len(more) if end < 0 else end + 4 - len(seen)
        seen += peer.recv(size)
        if not more or len(seen) > _MANY_HEADERS:
            raise NoAnswer("docker: ended in the middle of its answer")
    return seen


def _require(headers: bytes, peer: socket.socket) -> None:
    """Raises what an answer says that is none."""
    _, _, rest = headers.partition(b" ")
    status = rest[:3]
    if status[:1] == b"2" or status == b"304":  # 304: it is so already
        return
    body = b"".join(_chunks(peer))
    try:
        message = str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        message = f"it failed ({status.decode(errors='replace')})"
    raise (NotFound if status == b"404" else NoAnswer)(f"docker: {message}")


def _chunks(peer: socket.socket) -> Iterator[bytes]:
    while chunk := peer.recv(_CHUNK):
        yield chunk


def _streams(body: bytes) -> tuple[bytes, bytes]:
    """Standard output and error. Pure."""
    streams: dict[int, list[bytes]] = {1: [], 2: []}
    at = 0
    while at + _FRAME.size <= len(body):
        stream, size = _FRAME.unpack_from(body, at)
        at += _FRAME.size
        streams.setdefault(stream, []).append(body[at : at + size])
        at += size
    return b"".join(streams[1]), b"".join(streams[2])
