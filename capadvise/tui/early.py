"""The terminal before an app has it: keys that the user presses early go to the app."""

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
"""The places of these flags in what ``tcgetattr`` returns."""


@dataclass(slots=True)
class EarlyKeys:
    """The keys that were typed so far."""

    fd: int
    mode: list[Any]
    """The terminal's mode before, which it gets again at the end."""
    typed: bytes = b""

    def read(self, seconds: float = 0.0) -> bytes:
        """Return what is typed within some time, and keep it for ``take``."""
        if not select.select([self.fd], [], [], max(seconds, 0.0))[0]:
            return b""
        data = os.read(self.fd, 4096)
        self.typed += data
        return data

    def ask(self, question: bytes, last: re.Pattern[bytes], seconds: float) -> bytes:
        """Ask the terminal, and return its answer up to what matches ``last``. The answer is not
        kept as keys."""
        os.write(self.fd, question)
        answer, end = b"", time.monotonic() + seconds
        while not last.search(answer) and (more := self.read(end - time.monotonic())):
            answer += more
        self.typed = _ANSWERS.sub(b"", self.typed)
        return answer

    def take(self) -> str:
        """Return the keys that are kept, and forget them."""
        typed, self.typed = self.typed, b""
        return typed.decode(errors="replace")


@contextmanager
def early_keys(fd: int) -> Iterator[EarlyKeys]:
    """Until the block ends, keys are not echoed, and can be read one by one. Ctrl-C still works."""
    before = termios.tcgetattr(fd)
    ours = [*before]
    ours[_INPUT] &= ~(termios.ICRNL | termios.INLCR | termios.IGNCR | termios.IXON)
    ours[_LOCAL] &= ~(termios.ECHO | termios.ICANON | termios.IEXTEN)
    keys = EarlyKeys(fd, before)
    try:
        termios.tcsetattr(fd, termios.TCSANOW, ours)
        keys.read()
        keys.typed = keys.typed.replace(b"\n", b"\r")  # Enter was translated until now
        yield keys
    finally:
        with suppress(termios.error):  # the terminal can be closed
            termios.tcsetattr(fd, termios.TCSANOW, before)
