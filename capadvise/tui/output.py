"""The pane that is the target's terminal: its output, and the keyboard for it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from rich.cells import cell_len, set_cell_size
from rich.color import Color, ColorParseError
from rich.segment import Segment
from rich.style import Style
from textual.events import Blur, Key, Paste, Resize
from textual.geometry import Size
from textual.keys import key_to_character
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip
from textual.widget import Widget

from capadvise.tui.widgets import SCROLLING, selectable

if TYPE_CHECKING:
    from pyte.screens import Char

    from capadvise.tui.terminal import Terminal

BORDERS = 2
"""The rows of a pane that are its border."""
GIVE_BACK = "ctrl+right_square_bracket"
"""The key that takes the keyboard back: Ctrl-], as in telnet. No prompt uses it."""
_TABLE = json.loads(Path(__file__).with_name("terminal_keys.json").read_text(encoding="utf-8"))
_KEYS: dict[str, bytes] = {key: text.encode() for key, text in _TABLE.items()}
"""The bytes that terminals send for keys without a character."""
_CURSOR = {"up": "A", "down": "B", "right": "C", "left": "D", "home": "H", "end": "F"}


def key_bytes(key: str, character: str | None, *, application: bool = False) -> bytes:
    """The bytes that a terminal sends for a key. ``application``: in that mode of the cursor
    keys."""
    name = key.rpartition("+")[2]
    if name in _CURSOR:
        if key == name:
            return f"\x1b{'O' if application else '['}{_CURSOR[name]}".encode()
        modifier = 1 + ("shift" in key) + 2 * ("alt" in key) + 4 * ("ctrl" in key)
        return f"\x1b[1;{modifier}{_CURSOR[name]}".encode()
    if key in _KEYS:
        return _KEYS[key]
    if key.startswith("ctrl+") and len(key) == len("ctrl+") + 1:
        return bytes([ord(key[-1]) & 0x1F])
    if key.startswith("alt+"):
        plain = key.removeprefix("alt+")
        return b"\x1b" + key_bytes(plain, character or key_to_character(plain))
    return character.encode(errors="replace") if character else b""


@lru_cache(maxsize=4096)
def _style(char: Char) -> Style:
    """The look of a cell. Its text does not matter."""
    return Style(
        color=_colour(char.fg),
        bgcolor=_colour(char.bg),
        bold=char.bold or None,
        italic=char.italics or None,
        underline=char.underscore or None,
        strike=char.strikethrough or None,
        reverse=char.reverse or None,
        blink=char.blink or None,
    )


def _colour(name: str) -> str | None:
    if name == "default":
        return None
    plain = name.removeprefix("bright").replace("brown", "yellow")
    if len(plain) == 6 and all(digit in "0123456789abcdef" for digit in plain):
        return f"#{plain}"
    colour = f"bright_{plain}" if name.startswith("bright") else plain
    try:
        Color.parse(colour)
    except ColorParseError:  # a name that only pyte knows
        return None
    return colour


class Output(ScrollView, can_focus=True):
    """The terminal; the end stays in sight unless the user scrolls up."""

    BINDINGS: ClassVar = SCROLLING

    @dataclass
    class Typed(Message):
        """Keys for the target."""

        data: bytes

    class CopyWanted(Message):
        """Ctrl-C was pressed on selected text: it is not for the target."""

    @dataclass
    class Room(Message):
        """The pane has another size."""

        columns: int
        rows: int

    typing = reactive(False, init=False, bindings=True)
    """The keyboard is the target's."""
    quiet = reactive(True, init=False)
    """Nothing was written yet."""

    def __init__(self) -> None:
        super().__init__(id="output")
        self.shared = False
        """The capabilities are over it: it is as high as they leave it, but the target's terminal
        keeps its size. Each change of that one is a SIGWINCH, which ends an apache."""
        self._drawn_all = True
        self._height = 0
        self._size_sent = False

    @cached_property
    def terminal(self) -> Terminal:
        """The terminal that is drawn. Its module is loaded here: a review has no output."""
        from capadvise.tui.terminal import Terminal

        return Terminal()

    def feed(self, data: bytes) -> None:
        if not data and self._drawn_all:
            return
        follow = self.is_vertical_scroll_end
        self.quiet = self.quiet and not data
        self.terminal.feed(data)
        self._drawn_all = self.terminal.turn()
        if answer := self.terminal.replies():
            self.post_message(self.Typed(answer))
        self._show(follow=follow)

    def _show(self, *, follow: bool) -> None:
        self.virtual_size = Size(self.terminal.screen.columns, self.terminal.rows)
        self.refresh()
        if follow:
            self.scroll_end(animate=False, immediate=True)

    def render_line(self, y: int) -> Strip:
        """One row, with the target's cursor while the target has the keyboard."""
        row, style, width = y + round(self.scroll_y), self.rich_style, self.size.width
        if row >= max(self.terminal.rows, 1):
            return Strip([Segment(" " * width, style)])
        cursor = self.terminal.cursor if self.typing else None
        at = cursor.column if cursor is not None and cursor.row == row else -1
        line = self.terminal.row(row) if row < self.terminal.rows else {}
        if isinstance(line, str):
            strip = Strip([Segment(set_cell_size(line, width), style)])
        else:
            strip = Strip(_segments(line, width, style, at)).adjust_cell_length(width, style)
        return selectable(strip, row, self.text_selection)

    def get_selection(self, selection: Selection) -> tuple[str, str]:
        rows = range(self.terminal.rows)
        return selection.extract("\n".join(self._text(row) for row in rows)), "\n"

    def _text(self, row: int) -> str:
        line = self.terminal.row(row)
        if isinstance(line, str):
            return line
        return "".join(part.text for part in _segments(line, 10_000, Style(), -1)).rstrip()

    def on_resize(self, event: Resize) -> None:
        self.fit()

    def fit(self) -> None:
        """Make the target's terminal as large as the pane, or as half of what the pane shares."""
        region = self.scrollable_content_region
        if region.width <= 0 or region.height <= 0:
            return
        follow = round(self.scroll_y) + self._height >= self.virtual_size.height
        self._height = region.height
        rows = region.height
        if self.shared and not self.is_maximized and isinstance(self.parent, Widget):
            rows = max((self.parent.size.height + 1) // 2 - BORDERS, 1)
        screen = self.terminal.screen
        if (screen.columns, screen.lines) != (region.width, rows) or not self._size_sent:
            self._size_sent = True
            self.terminal.resize(region.width, rows)
            self.post_message(self.Room(region.width, rows))
        self._show(follow=follow)

    # ---------------------------------------------------------------------------- the keyboard

    def watch_typing(self) -> None:
        self.set_class(self.typing, "-typing")
        self.border_subtitle = "your keys go to it; ctrl+] takes them back" if self.typing else ""
        self._show(follow=True)

    def on_blur(self, _: Blur) -> None:
        """The user went to another pane, which gets the keyboard."""
        self.typing = False

    async def _on_key(self, event: Key) -> None:
        if not self.typing:
            return
        event.stop()
        event.prevent_default()
        if event.key == GIVE_BACK:
            self.typing = False
            return
        if event.key == "ctrl+c" and self.screen.selections:
            self.post_message(self.CopyWanted())
            return
        application = self.terminal.screen.application_keys
        if data := key_bytes(event.key, event.character, application=application):
            self.post_message(self.Typed(data))

    async def _on_paste(self, event: Paste) -> None:
        if self.typing:
            event.stop()
            event.prevent_default()
            data = event.text.replace("\n", "\r").encode(errors="replace")
            if self.terminal.screen.bracketed_paste:
                data = b"\x1b[200~" + data.replace(b"\x1b", b"") + b"\x1b[201~"
            self.post_message(self.Typed(data))


def _segments(cells: dict[int, Char], width: int, base: Style, cursor: int) -> list[Segment]:
    """A row of cells; neighbours of the same look are one segment."""
    parts: list[Segment] = []
    text, look, column = "", base, 0
    last = max(max(cells, default=-1), cursor)
    while column <= min(last, width - 1):
        char = cells.get(column)
        style = base if char is None else base + _style(char._replace(data=""))
        if column == cursor:
            style += Style(reverse=True)
        if style != look and text:
            parts.append(Segment(text, look))
            text = ""
        look = style
        data = char.data if char is not None and char.data else " "
        text += data
        column += max(1, cell_len(data))
    parts.append(Segment(text, look))
    return parts
