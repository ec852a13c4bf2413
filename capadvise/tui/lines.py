"""What a program writes on its terminal, as lines of harmless text. Pure."""

from __future__ import annotations

import codecs
import re
from collections import deque

from capadvise.report.escape import printable

MOST = 5000
"""OutputLines that are kept."""
LONGEST = 4096
"""Characters of a line."""

_STRING = r"\x1b[\]PX^_][^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c|(?=\n))"
_CSI = r"\x1b\[[0-?]*[ -/]*[@-~]"
_OTHER = r"\x1b[ -/]*[0-OQ-WYZ\\`-~]"
_SEQUENCE = re.compile(f"{_CSI}|{_STRING}|{_OTHER}")
"""Control sequences of ECMA-48, as terminals understand them."""
_UNFINISHED = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b\x9c\n]*\x1b?|[ -/]*)\Z")
_ERASE = re.compile(r"\x1b\[0?K")
"""Erases the rest of the line: progress bars do that."""
_RUBBER = "\x7f"
"""Stands for it."""
_NOTHING = dict.fromkeys((0, 5, 7, 14, 15))
"""Control characters that show nothing."""


class OutputLines:
    """Takes bytes, gives lines. Carriage returns and backspaces overwrite, as on a terminal."""

    def __init__(self) -> None:
        self.finished: deque[str] = deque(maxlen=MOST)
        self.total = 0
        """How many lines were finished, those that are no longer kept included."""
        self._current = ""
        self._column = 0
        self._rest = ""
        self._decode = codecs.getincrementaldecoder("utf-8")("backslashreplace").decode

    @property
    def current(self) -> str:
        """The last line, which has no end yet: a prompt, for example."""
        return _shown(self._current)

    def feed(self, data: bytes) -> None:
        """Take what was written."""
        text = (self._rest + self._decode(data)).replace(_RUBBER, "")
        self._rest = ""
        if begun := _UNFINISHED.search(text):
            text, self._rest = text[: begun.start()], begun[0]
            if len(self._rest) > LONGEST:
                self._rest = ""
        if "\x1b" in text:
            text = _SEQUENCE.sub("", _ERASE.sub(_RUBBER, text))
        text = text.translate(_NOTHING)
        lines = re.sub("\r+\n", "\n", text).split("\n")
        self._write(lines[0])
        for line in lines[max(1, len(lines) - MOST) :]:
            self._finish()
            self._write(line)
        self.total += max(0, len(lines) - 1 - MOST)

    def _finish(self) -> None:
        self.finished.append(_shown(self._current))
        self.total += 1
        self._current, self._column = "", 0

    def _write(self, text: str) -> None:
        if not self._current and not any(mark in text for mark in ("\r", "\b", _RUBBER)):
            self._current, self._column = text[:LONGEST], min(len(text), LONGEST)
            return
        for part in re.split(f"([\r\b{_RUBBER}])", text):
            match part:
                case "\r":
                    self._column = 0
                case "\b":
                    self._column = max(0, self._column - 1)
                case "\x7f":
                    self._current = self._current[: self._column]
                case _:
                    end = self._column + len(part)
                    line = self._current[: self._column] + part + self._current[end:]
                    self._current, self._column = line[:LONGEST], min(end, LONGEST)


def _shown(line: str) -> str:
    line = line.expandtabs()
    return line if line.isprintable() else printable(line)
