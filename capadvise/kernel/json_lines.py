"""Values over a pipe, as JSON, one a line.

A writer cannot fill our memory: only the beginning of an overlong line is kept, which is no valid
JSON, and one read takes no more than a pipe can hold.
"""

import contextlib
import json
import os
from typing import Any

LONGEST_LINE = 1 << 26
"""Bytes. The longest of ours is a plan with all the arguments that a command can have."""
_CHUNK = 1 << 16
_CHUNKS = 16
"""At a time: as much as a pipe can hold."""


class LineReader:
    """The reading end."""

    def __init__(self, fd: int) -> None:
        self.fd, self.ended = fd, False
        self._rest = bytearray()

    def read(self) -> list[Any]:
        """The values that one read completes. Waits for something, or for the end of the pipe."""
        return [json.loads(line) for line in self._read()]

    def wait(self) -> Any:
        """The next value, if the writer sends one at a time; None at the end of the pipe."""
        values: list[Any] = []
        while not values and not self.ended:
            values = self.read()
        return values[0] if values else None

    def drain(self) -> list[Any]:
        """The values that a non-blocking pipe holds."""
        return [json.loads(line) for line in self.drain_lines()]

    def drain_lines(self) -> list[bytes]:
        """The lines that a non-blocking pipe holds: for a writer that is not ours."""
        lines: list[bytes] = []
        with contextlib.suppress(BlockingIOError):
            for _ in range(_CHUNKS):
                lines += self._read()
                if self.ended:
                    break
        return lines

    def _read(self) -> list[bytes]:
        try:
            chunk = os.read(self.fd, _CHUNK)
        except ConnectionResetError:  # the end of a socket whose other end was killed
            chunk = b""
        self.ended = not chunk
        end, *others = chunk.split(b"\n")
        self._rest += end[: LONGEST_LINE - len(self._rest)]
        if not others:
            return []
        *between, rest = others
        lines = [bytes(self._rest), *between]
        self._rest = bytearray(rest)
        return lines


def send(fd: int, value: Any) -> None:
    """Write a value. It is lost if nobody reads any more: the caller notices that elsewhere."""
    data = json.dumps(value).encode() + b"\n"
    with contextlib.suppress(BrokenPipeError):
        while data:
            data = data[os.write(fd, data) :]
