"""The pane with the target's own output, and the keyboard for its prompts."""

from __future__ import annotations

from typing import ClassVar

from rich.cells import cell_len, chop_cells
from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding
from textual.events import Blur, Key, Paste, Resize
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from capadvise.tui.lines import MOST, OutputLines

GIVE_BACK = "ctrl+right_square_bracket"
"""Takes the keyboard back: Ctrl-], as with telnet; no prompt wants it."""
_KEYS = {
    "enter": b"\r",
    "tab": b"\t",
    "shift+tab": b"\x1b[Z",
    "backspace": b"\x7f",
    "escape": b"\x1b",
    "up": b"\x1b[A",
    "down": b"\x1b[B",
    "right": b"\x1b[C",
    "left": b"\x1b[D",
    "home": b"\x1b[H",
    "end": b"\x1b[F",
    "pageup": b"\x1b[5~",
    "pagedown": b"\x1b[6~",
    "insert": b"\x1b[2~",
    "delete": b"\x1b[3~",
    "ctrl+at": b"\0",
    "ctrl+backslash": b"\x1c",
    "ctrl+circumflex_accent": b"\x1e",
    "ctrl+underscore": b"\x1f",
}
"""What terminals send for keys that have no character."""


def key_bytes(key: str, character: str | None) -> bytes:
    """What a terminal sends for a key."""
    if key in _KEYS:
        return _KEYS[key]
    if key.startswith("ctrl+") and len(key) == len("ctrl+") + 1:
        return bytes([ord(key[-1]) & 0x1F])
    return character.encode(errors="replace") if character else b""


class Output(ScrollView, can_focus=True):
    """The lines, wrapped as on a terminal; the end stays in sight unless the user scrolls up."""

    BINDINGS: ClassVar = [
        Binding("j", "scroll_down", "Down", show=False),
        Binding("k", "scroll_up", "Up", show=False),
    ]

    class Typed(Message):
        """Keys for the target."""

        def __init__(self, data: bytes) -> None:
            super().__init__()
            self.data = data

    class Room(Message):
        """The pane has another size."""

        def __init__(self, columns: int, rows: int) -> None:
            super().__init__()
            self.columns, self.rows = columns, rows

    typing = reactive(False, init=False)
    """The keyboard is the target's."""

    def __init__(self) -> None:
        super().__init__(id="output")
        self.lines = OutputLines()
        self._rows: list[str] = []
        self._last: list[str] = []
        self._seen = 0
        self._width = 0

    def feed(self, data: bytes) -> None:
        """Show what was written."""
        follow = self.is_vertical_scroll_end
        self.lines.feed(data)
        new = min(self.lines.total - self._seen, len(self.lines.finished))
        self._seen = self.lines.total
        for line in list(self.lines.finished)[len(self.lines.finished) - new :]:
            self._rows.extend(wrapped(line, self._width))
        del self._rows[:-MOST]
        self._show(follow=follow)

    def _show(self, *, follow: bool) -> None:
        self._last = wrapped(self.lines.current, self._width)
        if not self.lines.current and not self.typing:
            self._last = []
        self.virtual_size = Size(self._width, len(self._rows) + len(self._last))
        self.refresh()
        if follow:
            self.scroll_end(animate=False, immediate=True)

    def render_line(self, y: int) -> Strip:
        """One row; a cursor where the target waits for keys."""
        row, style = y + round(self.scroll_y), self.rich_style
        rows, last = len(self._rows), self._last
        text = self._rows[row] if row < rows else "".join(last[row - rows : row - rows + 1])
        parts = [Segment(text, style)]
        if self.typing and last and row == rows + len(last) - 1:
            parts.append(Segment(" ", style + Style(reverse=True)))
        return Strip(parts).adjust_cell_length(self._width, style)

    def on_resize(self, event: Resize) -> None:
        """Wrap anew; the target's terminal is as large as the pane."""
        width = self.scrollable_content_region.width
        height = self.scrollable_content_region.height
        if width <= 0 or height <= 0:
            return
        follow = self.is_vertical_scroll_end
        if width != self._width:
            self._width = width
            self._rows = [row for line in self.lines.finished for row in wrapped(line, width)]
        self._show(follow=follow)
        self.post_message(self.Room(width, height))

    # ---------------------------------------------------------------------------- the keyboard

    def watch_typing(self) -> None:
        """Say who has the keyboard."""
        self.set_class(self.typing, "-typing")
        self.border_subtitle = "your keys go to it; ctrl+] takes them back" if self.typing else ""
        self._show(follow=True)

    def on_blur(self, _: Blur) -> None:
        """Another pane was chosen: the keyboard is ours again."""
        self.typing = False

    async def _on_key(self, event: Key) -> None:
        if not self.typing:
            return
        event.stop()
        event.prevent_default()
        if event.key == GIVE_BACK:
            self.typing = False
        elif data := key_bytes(event.key, event.character):
            self.post_message(self.Typed(data))

    async def _on_paste(self, event: Paste) -> None:
        if self.typing:
            event.stop()
            event.prevent_default()
            self.post_message(self.Typed(event.text.replace("\n", "\r").encode()))


def wrapped(line: str, width: int) -> list[str]:
    """A line in rows of so many cells."""
    if not line or width <= 0:
        return [""]
    if line.isascii():
        return [line[start : start + width] for start in range(0, len(line), width)]
    return [line] if cell_len(line) <= width else chop_cells(line, width)
