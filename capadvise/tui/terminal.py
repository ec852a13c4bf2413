"""A terminal in memory: the target's output as lines that can be shown. Pure.

pyte keeps the screen. This module does, or takes out, what pyte cannot do: pyte reads no DCS
strings, prints the parameters of sequences that it does not expect, has no second screen, and stops
at characters without a width. Nothing that the target writes ever reaches the real terminal.
"""

import codecs
import re
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

import pyte
from pyte.screens import Char

from capadvise.model.escape import printable

MOST = 5000
"""The most lines that are kept above the screen."""
_LONGEST = 4096
"""The most characters of a line that scrolled by too fast to be drawn."""
_WHOLE = 16 << 10
"""If more bytes come at once, the lines that would scroll by are kept as plain text."""
_SLICE = 2048
_TURN = 0.015
"""The seconds of one turn of drawing; keys are answered between two turns."""
_BEHIND = 128 << 10
"""The last bytes that are drawn of a program that fills the screen; earlier ones are not."""

_ALTERNATE = (47, 1047, 1049)
_ANSWER_KIND = b"\x1b[?6c"


class _Stream(pyte.Stream):
    """Knows more sequences, which ncurses uses on a terminal that is called xterm."""

    csi = {  # noqa: RUF012 - as in pyte
        **pyte.Stream.csi,
        "S": "scroll_up",
        "T": "scroll_down",
        "b": "repeat",
        "Z": "back_tab",
        "n": "report_status",
        "s": "save_here",
        "u": "back_there",
    }


class _Screen(pyte.Screen):
    """Adds a second screen for programs that fill it, and keeps lines that scroll out at the
    top."""

    def __init__(self, columns: int, lines: int) -> None:
        self.past: deque[Any] = deque(maxlen=MOST)
        self.total = 0
        """The number of lines that scrolled out, including those that are no longer kept."""
        self.replies = bytearray()
        self.application_keys = self.bracketed_paste = False
        self._main: tuple[Any, int, int] | None = None
        super().__init__(columns, lines)

    @property
    def alternate(self) -> bool:
        """True while the second screen is shown."""
        return self._main is not None

    def reset(self) -> None:
        """Return to the state after switching on."""
        self._main = None
        super().reset()

    def index(self) -> None:
        """Line feed. On the last line, the first line scrolls out and is kept."""
        margins = self.margins
        top, bottom = (margins.top, margins.bottom) if margins else (0, self.lines - 1)
        if self.cursor.y == bottom and top == 0 and not self.alternate:
            self.keep(dict(self.buffer[0]))
        super().index()

    def keep(self, line: Any) -> None:
        """Keep a line above the screen: cells, or plain text."""
        self.past.append(line)
        self.total += 1

    def resize(self, lines: int | None = None, columns: int | None = None) -> None:
        """Change the size. Lines above the cursor scroll out if there is no more room for them."""
        lines, columns = lines or self.lines, columns or self.columns
        for _ in range(max(0, self.cursor.y - lines + 1)):
            if not self.alternate:
                self.keep(dict(self.buffer[0]))
            for row in range(self.lines):
                self.buffer[row] = self.buffer[row + 1]
            self.cursor.y -= 1
        self.margins = None
        for row in [row for row in self.buffer if row >= lines]:
            del self.buffer[row]
        self.lines, self.columns = lines, columns
        self.cursor.x = min(self.cursor.x, columns - 1)
        self.cursor.y = min(self.cursor.y, lines - 1)
        self.tabstops = set(range(8, columns, 8))

    def set_mode(self, *modes: int, **options: Any) -> None:
        if options.get("private"):
            self._switch(modes, on=True)
        super().set_mode(*modes, **options)

    def reset_mode(self, *modes: int, **options: Any) -> None:
        super().reset_mode(*modes, **options)
        if options.get("private"):
            self._switch(modes, on=False)

    def _switch(self, modes: tuple[int, ...], *, on: bool) -> None:
        if 1 in modes:
            self.application_keys = on
        if 2004 in modes:
            self.bracketed_paste = on
        if not any(mode in _ALTERNATE for mode in modes) or on == self.alternate:
            return
        if on:
            self._main = self.buffer.copy(), self.cursor.x, self.cursor.y
            self.buffer.clear()
            self.cursor.x = self.cursor.y = 0
        elif self._main is not None:
            kept, x, y = self._main
            self._main = None
            self.margins = None
            self.buffer.clear()
            self.buffer.update({row: line for row, line in kept.items() if row < self.lines})
            self.cursor.x, self.cursor.y = min(x, self.columns - 1), min(y, self.lines - 1)

    def insert_lines(self, count: int | None = None) -> None:
        """IL."""
        self._make_rows()
        super().insert_lines(count)

    def delete_lines(self, count: int | None = None) -> None:
        """DL."""
        self._make_rows()
        super().delete_lines(count)

    def _make_rows(self) -> None:
        """pyte moves only rows that have been written to, and leaves others where they were."""
        for row in range(self.lines):
            self.buffer[row]

    def scroll_up(self, count: int | None = None) -> None:
        """SU: lines come in at the bottom."""
        self._at_top(self.delete_lines, count)

    def scroll_down(self, count: int | None = None) -> None:
        """SD: lines come in at the top."""
        self._at_top(self.insert_lines, count)

    def _at_top(self, move: Any, count: int | None) -> None:
        x, y = self.cursor.x, self.cursor.y
        self.cursor.y = self.margins.top if self.margins else 0
        move(count)
        self.cursor.x, self.cursor.y = x, y

    def repeat(self, count: int | None = None) -> None:
        """REP: the last character again."""
        if self.cursor.x:
            last = self.buffer[self.cursor.y][self.cursor.x - 1].data
            self.draw(last * min(count or 1, self.columns))

    def back_tab(self, count: int | None = None) -> None:
        """CBT."""
        stops = [0, *sorted(stop for stop in self.tabstops if stop < self.cursor.x)]
        self.cursor.x = stops[max(0, len(stops) - (count or 1))]

    def save_here(self, *_: Any) -> None:
        """SCOSC."""
        self.save_cursor()

    def back_there(self, *_: Any) -> None:
        """SCORC."""
        self.restore_cursor()

    def report_device_attributes(self, mode: int = 0, **_: Any) -> None:
        """DA: the kind of terminal."""
        self.replies += _ANSWER_KIND

    def report_status(self, mode: int = 0, **_: Any) -> None:
        """DSR, which pyte answers as if the mode were another parameter's."""
        self.report_device_status(mode)

    def write_process_input(self, data: str) -> None:
        """Keep an answer of the terminal."""
        self.replies += data.encode()

    def set_title(self, param: str) -> None:
        """Ignored, as the name of an icon."""

    set_icon_name = set_title

    def debug(self, *_: Any, **__: Any) -> None:
        """Ignore a sequence that pyte does not know."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """The place of the cursor; rows count from the first that is kept."""

    row: int
    column: int


class Terminal:
    """Takes bytes and gives rows of cells. ``turn`` draws some of the bytes that wait."""

    def __init__(self, columns: int = 80, rows: int = 24) -> None:
        self.screen = _Screen(columns, rows)
        self._stream = _Stream(self.screen)
        self._stream.use_utf8 = False  # line drawing is a character set, for a program in LANG=C
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._rest = ""
        self._waiting = ""

    def feed(self, data: bytes) -> None:
        """Take what was written, and draw some of it."""
        self._waiting += self._decode(data)
        if len(self._waiting) > _WHOLE and not self.screen.alternate:
            self._scroll_by()
        if len(self._waiting) > _BEHIND:
            self._waiting = self._waiting[-_BEHIND:]
        self.turn()

    def _scroll_by(self) -> None:
        """Keep as plain text the lines that would scroll by unseen."""
        enters = self._waiting.find("\x1b[?1049h")
        early = self._waiting if enters < 0 else self._waiting[:enters]
        lines = early.split("\n")
        count = max(0, len(lines) - self.screen.lines - 1)
        if not count:
            self._waiting = self._waiting[-_BEHIND:]
            return
        self._waiting = self._waiting[sum(map(len, lines[:count])) + count :]
        shown = [dict(self.screen.buffer[row]) for row in range(self.screen.cursor.y + 1)]
        for cells in shown:
            self.screen.keep(cells)
        self.screen.buffer.clear()
        self.screen.cursor.x = self.screen.cursor.y = 0
        self.screen.total += max(0, count - MOST)
        for line in lines[:count][-MOST:]:
            self.screen.keep(_plain(line))

    def turn(self) -> bool:
        """Draw for a short time; returns True if all of it is drawn."""
        end = time.monotonic() + _TURN
        while self._waiting and time.monotonic() < end:
            text, self._waiting = self._waiting[:_SLICE], self._waiting[_SLICE:]
            self._draw(text)
        return not self._waiting

    def _draw(self, text: str) -> None:
        text = self._rest + text
        self._rest = ""
        if begun := _UNFINISHED.search(text):
            text, self._rest = text[: begun.start()], begun[0]
            if len(self._rest) > _LONGEST:
                self._rest = ""
        self._stream.feed(_understood(text))

    def resize(self, columns: int, rows: int) -> None:
        if (columns, rows) != (self.screen.columns, self.screen.lines):
            self.screen.resize(rows, columns)

    def replies(self) -> bytes:
        """The answers to the questions of the program to its terminal."""
        data = bytes(self.screen.replies)
        self.screen.replies.clear()
        return data

    @property
    def used(self) -> int:
        """Rows of the screen down to the last that is not empty, or the cursor."""
        buffer = self.screen.buffer
        last = max((row for row, line in buffer.items() if line), default=-1)
        return max(last, self.screen.cursor.y if self.screen.cursor.x else -1) + 1

    @property
    def rows(self) -> int:
        """All rows that can be shown: those that scrolled out, and the screen."""
        if self.screen.alternate:
            return self.screen.lines
        return len(self.screen.past) + self.used

    def row(self, number: int) -> dict[int, Char] | str:
        """The cells of a row by column, or its plain text."""
        past = 0 if self.screen.alternate else len(self.screen.past)
        line: dict[int, Char] | str = (
            self.screen.past[number] if number < past else self.screen.buffer[number - past]
        )
        return line

    @property
    def cursor(self) -> Cursor | None:
        """The cursor, or None if the program hides it."""
        cursor, past = self.screen.cursor, 0 if self.screen.alternate else len(self.screen.past)
        if cursor.hidden:
            return None
        return Cursor(past + cursor.y, min(cursor.x, self.screen.columns - 1))

    def text(self) -> list[str]:
        """All lines as harmless text, without blanks at their ends."""
        past = [] if self.screen.alternate else self.screen.past
        rows = [*past, *(self.screen.buffer[row] for row in range(self.used))]
        return [line if isinstance(line, str) else _cells_text(line) for line in rows]


def _cells_text(cells: dict[int, Char]) -> str:
    width = max(cells, default=-1) + 1
    return "".join(cells[at].data if at in cells else " " for at in range(width)).rstrip()


def _plain(line: str) -> str:
    """A line without control sequences and without what was overwritten."""
    text = _SEQUENCE.sub("", line[:_LONGEST]).rstrip("\r").rpartition("\r")[2]
    text = text.expandtabs()
    return text if text.isprintable() else printable(text)


_STRINGS = re.compile(r"\x1b[\]PX^_][^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c|(?=\x1b))")
"""Titles, clipboards, colours, device strings: none of them is shown."""
_CSI = re.compile(r"\x1b\[([ -?]*)([@-~])")
_PLAIN = re.compile(r"(\??)([0-9:;]*)")
_CONTROLS = r"\x00-\x17\x19\x1c-\x1f"
"""The control characters that can be inside a sequence."""
_MIXED = re.compile(rf"\x1b\[[ -?]*[{_CONTROLS}][ -?{_CONTROLS}]*")
_BROKEN_OFF = re.compile(r"\x1b\[[ -?]*(?=\x1b)")
_UNFINISHED = re.compile(rf"\x1b(?:\[[ -?{_CONTROLS}]*|[\]PX^_][^\x07\x1b\x9c]*\x1b?|[ -/]*)\Z")
"""The beginning of a sequence whose rest may be in the next piece."""
_SEQUENCE = re.compile(rf"{_STRINGS.pattern}|{_CSI.pattern}|\x1b[ -/]*[0-~]")
_STRANGE = re.compile(r"[^\x00-\x7e]+")
_PARAMETERS = {"m": 32, "h": 16, "l": 16, "H": 2, "f": 2, "r": 2}
"""The number of parameters of a sequence; the others have one."""
_ERASES = {"J": 3, "K": 2}
"""The largest parameter that has a meaning."""


def _understood(text: str) -> str:
    """The text without sequences that pyte takes for something else."""
    if "\x1b" in text:
        text = _BROKEN_OFF.sub("", _STRINGS.sub("", text))
        text = _MIXED.sub(_controls_first, text)  # which can bring another sequence to an early end
        text = _CSI.sub(_known, _BROKEN_OFF.sub("", text))
    return _STRANGE.sub(_shown, text)


def _controls_first(match: re.Match[str]) -> str:
    """Move control characters before the sequence around them: a terminal obeys them at once."""
    within = match[0][1:]
    controls = "".join(char for char in within if char < " ")
    return controls + "\x1b" + "".join(char for char in within if char >= " ")


def _known(match: re.Match[str]) -> str:
    """A control sequence in the form that pyte takes; empty if pyte takes it for another one."""
    final, plain = match[2], _PLAIN.fullmatch(match[1])
    if plain is None or (plain[1] and final not in "hl"):
        return ""
    mark, text = plain.groups()
    numbers = text.replace(":", ";").split(";")[: _PARAMETERS.get(final, 1)]
    if final in _ERASES and int(numbers[0] or 0) > _ERASES[final]:
        return ""
    return f"\x1b[{mark}{';'.join(number[:4] for number in numbers)}{final}"


def _shown(match: re.Match[str]) -> str:
    return "".join(char if char.isprintable() else "\ufffd" for char in match[0])
