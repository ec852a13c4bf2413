"""The terminal before an app has it: keys that are pressed meanwhile are the app's."""

from __future__ import annotations

import os
import re
import select
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

_ANSWERS = re.compile(rb"\x1b\]11;[^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b\[\?[0-9;]*c")
_INPUT, _LOCAL = 0, 3
"""Where ``tcgetattr`` has these flags."""


@dataclass(slots=True)
class EarlyKeys:
    """What was typed so far."""

    fd: int
    mode: list[Any]
    """Of the terminal, as it was found and will be left."""
    typed: bytes = b""

    def read(self, seconds: float = 0.0) -> bytes:
        """What is typed within some time; it is kept, too."""
        if not select.select([self.fd], [], [], max(seconds, 0.0))[0]:
            return b""
        data = os.read(self.fd, 4096)
        self.typed += data
        return data

    def ask(self, question: bytes, last: re.Pattern[bytes], seconds: float) -> bytes:
        """What the terminal answers, up to what matches ``last``; it is none of the keys."""
        os.write(self.fd, question)
        answer, end = b"", time.monotonic() + seconds
        while not last.search(answer) and (more := self.read(end - time.monotonic())):
            answer += more
        self.typed = _ANSWERS.sub(b"", self.typed)
        return answer

    def take(self) -> str:
        """The keys, once."""
        typed, self.typed = self.typed, b""
        return typed.decode(errors="replace")


@contextmanager
def early_keys(fd: int) -> Iterator[EarlyKeys]:
    """Until the block ends, keys are not echoed, and come one by one. Ctrl-C still ends us."""
    before = termios.tcgetattr(fd)
    ours = [*before]
    ours[_INPUT] &= ~(termios.ICRNL | termios.INLCR | termios.IGNCR | termios.IXON)
    ours[_LOCAL] &= ~(termios.ECHO | termios.ICANON | termios.IEXTEN)
    keys = EarlyKeys(fd, before)
    try:
        termios.tcsetattr(fd, termios.TCSANOW, ours)
        keys.read()
        keys.typed = keys.typed.replace(b"\n", b"\r")  # Enter, before it was ours
        yield keys
    finally:
        with suppress(termios.error):  # it can be gone
            termios.tcsetattr(fd, termios.TCSANOW, before)
