"""The screens over the main one: the help, and the commands that a saved report would run."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from capadvise.tui.page import Page, Wrapped
from capadvise.tui.widgets import Fitting, KeyedScroll, Keys

LAMPS = """\
The lamps: ● needed   ◆ needed, root-equivalent   ○ incidental   ◐ optional   × denied
+ added by you   − dropped   · not checked   ? checked a moment ago
"""
_COLUMN = 50
_TEXTS = Path(__file__).with_name("help")


class KeyTable(Wrapped):
    """Keys and what they do, in as many columns as there is room for."""

    def __init__(self, keys: list[tuple[str, str]]) -> None:
        self._keys = keys

    def lines(self, width: int) -> list[Content]:
        """The keys, column by column."""
        across = max(1, width // _COLUMN)
        down = -(-len(self._keys) // across)
        lines = []
        for row in range(down):
            cells = [
                Content.assemble((f"{key:>6}  ", "bold $footer-key-foreground"), text)
                for key, text in self._keys[row::down]
            ]
            padded = [cell.pad_right(max(0, _COLUMN - cell.cell_length)) for cell in cells]
            lines.append(Content("").join(padded).truncate(width, ellipsis=True))
        return lines


class HelpScreen(Fitting, ModalScreen[None]):
    """The keys of the screen below, the meaning of its signs, and its subject."""

    BINDINGS: ClassVar = [Binding("escape,question_mark,f1,q", "close", "Close", id="close-help")]

    def __init__(self, keys: list[tuple[str, str]], topic: str, *, signs: str = LAMPS) -> None:
        """``topic``: a text of ``help/``; ``signs``: the meaning of that screen's signs."""
        super().__init__()
        self._keys, self._signs = keys, signs
        self._text = (_TEXTS / f"{topic}.txt").read_text(encoding="utf-8")

    def compose(self) -> ComposeResult:
        with KeyedScroll(id="help") as box:
            box.border_title, box.border_subtitle = "Help", "esc closes"
            yield Static(KeyTable(self._keys), markup=False)
            yield Static(self._page(), markup=False)
        yield Keys()

    def _page(self) -> Page:
        page = Page()
        for paragraph in f"{self._text}\n{self._signs}".split("\n\n"):
            page.gap()
            for line in paragraph.strip().splitlines():
                page.say(line)
        return page

    def action_close(self) -> None:
        self.dismiss(None)


class OrderScreen(Fitting, ModalScreen[bool]):
    """The commands before the first trial. Returns True if the user wants them to run."""

    BINDINGS: ClassVar = [
        Binding("enter", "close(True)", "Run it", id="run-order"),
        Binding("escape,q", "close(False)", "Cancel", id="cancel-order"),
    ]

    def __init__(self, lines: Sequence[str]) -> None:
        """``lines``: safe to print."""
        super().__init__()
        self._lines = lines

    def compose(self) -> ComposeResult:
        page = Page()
        page.say("The trials run what stands in this report, with your rights. Is it yours?")
        page.gap()
        for line in self._lines:
            page.say(line)
        with KeyedScroll(id="order") as box:
            box.border_title, box.border_subtitle = "What will run", "enter runs it, esc cancels"
            yield Static(page, markup=False)
        yield Keys()

    def action_close(self, agreed: bool) -> None:
        self.dismiss(agreed)
