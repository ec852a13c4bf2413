"""docker as recordings and trials ask it: by its API, or by its client where the user's words and
credentials matter.

A call of the client takes a process and 20 ms of a processor; the API's answer on the daemon's own
socket takes none, and a proof asks a hundred times. Requests are HTTP/1.0: the answer ends where
the connection does, also for events.
"""

import json
import socket
import struct
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote, urlencode

from capadvise.kernel.background import Background
from capadvise.targets.client.answer import NoAnswer, TooLate
from capadvise.targets.client.client import LINES, SECONDS, UP, Client, EngineError
from capadvise.targets.client.container import Container, parse_inspect

_CHUNK = 1 << 16
_MANY_HEADERS = 1 << 14
"""Bytes; docker's have some hundred."""
_FRAME = struct.Struct(">B3xL")
"""The header of each piece of a log: stream and size."""
_MULTIPLEXED = b"application/vnd.docker.multiplexed-stream"
Value = str | int | Mapping[str, list[str]]


class NotFound(NoAnswer):
    """There is no such thing."""


@dataclass(frozen=True, slots=True)
class Api:
    """The API of one daemon. The methods raise NoAnswer."""

    path: str
    """The path of its socket."""

    def get(self, *words: str, seconds: float, **query: Value) -> Any:
        """The JSON at a path, which is given by its words."""
        try:
            return json.loads(self.read(*words, seconds=seconds, **query))
        except ValueError as error:
            raise NoAnswer("docker: ended in the middle of its answer") from error

    def read(self, *words: str, seconds: float, **query: Value) -> bytes:
        """The body at a path, unparsed."""
        return self._answer("GET", words, query, seconds)[1]

    def do(self, method: str, *words: str, seconds: float, **query: Value) -> None:
        """Change something."""
        self._answer(method, words, query, seconds)

    def logs(self, container: str, lines: int, seconds: float) -> tuple[bytes, bytes] | None:
        """The last lines of its standard output and error; None if this docker mixes them."""
        query: dict[str, Value] = {"stdout": 1, "stderr": 1, "tail": lines}
        headers, body = self._answer("GET", ("containers", container, "logs"), query, seconds)
        return _streams(body) if _MULTIPLEXED in headers else None

    def events(self, seconds: float, **query: Value) -> socket.socket:
        """A connection that yields past and future events, one JSON object a line."""
        peer, _ = self._asked("GET", ("events",), query, seconds)
        return peer

    def _answer(
        self, method: str, words: tuple[str, ...], query: Mapping[str, Value], seconds: float
    ) -> tuple[bytes, bytes]:
        peer, headers = self._asked(method, words, query, seconds)
        with peer, _socket_errors():
            return headers, b"".join(_chunks(peer))

    def _asked(
        self, method: str, words: tuple[str, ...], query: Mapping[str, Value], seconds: float
    ) -> tuple[socket.socket, bytes]:
        """The connection, at the beginning of the body, and the headers."""
        path = "/" + "/".join(quote(word, safe="") for word in words)
        texts = {
            name: json.dumps(value) if isinstance(value, Mapping) else str(value)
            for name, value in query.items()
        }
        with _socket_errors():
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


@contextmanager
def _socket_errors() -> Iterator[None]:
    """Turn errors of the socket into NoAnswer."""
    try:
        yield
    except TimeoutError as error:
        raise TooLate("docker: did not answer in time") from error
    except OSError as error:
        why = error.strerror or str(error)
        raise NoAnswer(f"docker: cannot be reached: {why}") from error


def _headers(peer: socket.socket) -> bytes:
    """Read up to the end of the headers, and not a byte more."""
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
    """Raise the error that the answer reports, if it does."""
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
    streams: dict[int, list[bytes]] = {1: [], 2: []}
    at = 0
    while at + _FRAME.size <= len(body):
        stream, size = _FRAME.unpack_from(body, at)
        at += _FRAME.size
        streams.setdefault(stream, []).append(body[at : at + size])
        at += size
    return b"".join(streams[1]), b"".join(streams[2])


@dataclass(frozen=True, slots=True)
class DockerClient(Client):
    """A docker whose socket is known."""

    api: Api

    def inspect(self, *names: str) -> tuple[Container, ...]:
        with _engine_errors():
            paths = (("containers", name, "json") for name in names)
            each = [self.api.get(*path, seconds=SECONDS) for path in paths]
        return parse_inspect(self.engine, json.dumps(each))

    def find(self, name: str) -> Container | None:
        try:
            return self.inspect(name)[0]
        except NotThere:
            return None

    def id_of(self, image: str) -> str:
        with _engine_errors():
            return str(self._image(image)["Id"])

    def storage_of(self, image: str) -> Any:
        with _engine_errors():
            return self._image(image)["GraphDriver"]["Data"]

    def _image(self, image: str) -> Any:
        return self.api.get("images", image, "json", seconds=SECONDS)

    def place_of(self, volume: str) -> str:
        with _engine_errors():
            return str(self.api.get("volumes", volume, seconds=SECONDS)["Mountpoint"])

    def logs(self, container: str) -> tuple[str, str]:
        with _engine_errors():
            streams = self.api.logs(container, LINES, SECONDS)
        if streams is None:
            return Client.logs(self, container)
        out, err = (stream.decode(errors="backslashreplace") for stream in streams)
        return out.replace("\r\n", "\n"), err.replace("\r\n", "\n")

    def labelled(self, label: str) -> dict[str, bool]:
        with _engine_errors():
            return {one["Id"]: one["Status"].startswith(UP) for one in self._listed(label=[label])}

    def all_ids(self) -> list[str]:
        with _engine_errors():
            return [one["Id"] for one in self._listed()]

    def values_of(self, label: str) -> dict[str, str]:
        with _engine_errors():
            values = {one["Id"]: one["Labels"][label] for one in self._listed(label=[label])}
        return {container: value for container, value in values.items() if value.split() == [value]}

    def _listed(self, **filters: list[str]) -> list[dict[str, Any]]:
        return list(self.api.get("containers", "json", seconds=SECONDS, all=1, filters=filters))

    def names(self, kind: str, like: str) -> list[str]:
        with _engine_errors():
            listed = self.api.get(f"{kind}s", seconds=SECONDS, filters={"name": [like]})
            every = (listed["Volumes"] or ()) if kind == "volume" else listed
            return [one["Name"] for one in every]

    def labelled_networks(self, label: str) -> dict[str, str]:
        with _engine_errors():
            listed = self.api.get("networks", seconds=SECONDS, filters={"label": [label]})
            return {one["Id"]: one["Labels"][label] for one in listed}

    @property
    def answers(self) -> bool:
        """True if the daemon is there and answers."""
        with suppress(NoAnswer):
            self.api.do("GET", "_ping", seconds=SECONDS)
            return True
        return False

    def events(self, since: float, label: str) -> socket.socket:
        """A connection that yields the events of containers with a label, one JSON object a line,
        until it is closed. Raises EngineError."""
        with _engine_errors():
            return self.api.events(SECONDS, since=f"{since:.3f}", filters=_filters(label))

    def past_events(self, since: float, label: str) -> list[bytes]:
        """The events until now, one JSON object a line. Raises EngineError."""
        until = f"{time.time():.3f}"
        with _engine_errors():
            times = {"since": f"{since:.3f}", "until": until}
            read = self.api.read("events", seconds=SECONDS, filters=_filters(label), **times)
        return read.splitlines()

    def stop(self, ids: Iterable[str], seconds: float) -> None:
        limit, patience = seconds + SECONDS, f"{seconds:.0f}"
        calls = [partial(self._post, one, "stop", seconds=limit, t=patience) for one in ids]
        for stopped in list(map(Background, calls)):
            stopped.wait()

    def kill(self, ids: Iterable[str]) -> None:
        for container in ids:
            self._post(container, "kill")

    def _post(self, container: str, act: str, seconds: float = SECONDS, **query: str) -> None:
        with suppress(NoAnswer):  # it may be gone
            self.api.do("POST", "containers", container, act, seconds=seconds, **query)

    def remove_all(self, ids: Iterable[str]) -> None:
        failed: EngineError | None = None
        for container in ids:  # one that stays keeps no other
            try:
                with _engine_errors(), suppress(NotFound):
                    self.api.do("DELETE", "containers", container, seconds=SECONDS, force=1, v=1)
            except EngineError as error:
                failed = failed or error
        if failed:
            raise failed


def _filters(label: str) -> dict[str, list[str]]:
    return {"type": ["container"], "label": [label]}


class NotThere(EngineError):
    """There is no such container."""


@contextmanager
def _engine_errors() -> Iterator[None]:
    """Turn errors of the API into EngineError."""
    try:
        yield
    except NotFound as error:
        raise NotThere(str(error)) from error
    except NoAnswer as error:
        raise EngineError(str(error)) from error
    except (KeyError, TypeError, AttributeError) as error:
        raise EngineError(f"docker: its answer has an unknown form: {error!r:.80}") from error
