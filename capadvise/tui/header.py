"""The top of every tab: the tabs, the lamps, and what the chosen set is worth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.events import Click
from textual.geometry import Region
from textual.style import Style
from textual.widget import Widget
from textual.widgets import Static

from capadvise.caps import Cap
from capadvise.report.lamps import SIGNS, Lamp, Light, Score
from capadvise.tui.look import LIGHT_STYLES, numbers_text, risks_text, score_text, status_text
from capadvise.tui.page import Wrapped

TABS = {
    "live": "What is checked as it runs, and its terminal",
    "review": "What is needed, and why",
    "proof": "The trials",
    "risk": "What an attacker could do",
}
"""Name and explanation, in the order of their keys."""
_SHORT = {
    Light.ROOT: "root-equivalent",
    Light.DARK: "not checked",
}


class TabLabel(Static):
    """The name of a tab; a click goes there."""

    def __init__(self, number: int, name: str) -> None:
        super().__init__(Content(f" {number} {name.capitalize()} "), id=f"tab-{name}")
        self.tab = name

    async def on_click(self, event: Click) -> None:
        """Go there."""
        event.stop()
        await self.screen.run_action(f"go('{self.tab}')")


class Tabs(Horizontal):
    """The top line."""

    def __init__(self) -> None:
        super().__init__(id="top")

    def compose(self) -> ComposeResult:
        yield Static(" capadvise ", id="name")
        for number, name in enumerate(TABS, 1):
            yield TabLabel(number, name)
        yield Static(id="run", markup=False)

    def mark(self, tab: str, title: Content, *, live: bool) -> None:
        """The tab that is shown, and what it is all about. ``live``: there is a recording."""
        for item in self.query(TabLabel):
            item.set_class(item.tab == tab, "-active")
            item.set_class(item.tab == "live" and not live, "-nothing")
        self.query_one("#run", Static).update(title)


class Board(Wrapped):
    """The lamps, and beside them the score, what the lamps mean, and what goes on."""

    def __init__(
        self,
        lit: Sequence[Lamp],
        score: Score,
        state: Content,
        selected: Cap | None,
        *,
        shape: str,
    ) -> None:
        """``shape``: ``small``, ``usual`` or ``named``."""
        self._lamps, self._score, self.state = lit, score, state
        self._selected, self._shape = selected, shape
        self.lit = tuple(lit), score, selected, shape
        """All but the last row."""

    def lines(self, width: int) -> list[Content]:
        """The rows of the board."""
        if self._shape == "named":
            head = Content.assemble(" ", score_text(self._score))
            return [*self._named(width), head, self._line(width)]
        rows, step = (2, 1) if self._shape == "small" else (3, 2)
        across = -(-len(self._lamps) // rows)
        side = self._side(width - across * step - 3)
        lines = []
        for row in range(rows):
            cells = [
                self._cell(lamp).pad_right(step - 1)
                for lamp in self._lamps[row * across : (row + 1) * across]
            ]
            lit = Content("").join(cells).pad_right((across - len(cells)) * step)
            lines.append(Content.assemble(" ", lit, "  ", side[row]))
        return lines

    def _named(self, width: int) -> list[Content]:
        across = max(1, width // 22)
        rows = -(-len(self._lamps) // across)
        lines = []
        for row in range(rows):
            cells = [Content(" ")]
            for lamp in self._lamps[row::rows]:
                name = Content.styled(lamp.cap.short, _name_style(lamp, self._selected))
                cell = Content.assemble(self._cell(lamp), " ", name)
                cells.append(cell.pad_right(max(0, 22 - cell.cell_length)))
            lines.append(Content("").join(cells))
        return lines

    def _cell(self, lamp: Lamp) -> Content:
        style = LIGHT_STYLES[lamp.light] + (" reverse" if lamp.cap == self._selected else "")
        press = Style.from_meta({"@click": f"screen.lamp({int(lamp.cap)})"})
        return Content.styled(SIGNS[lamp.light], style).stylize(press)

    def _side(self, room: int) -> list[Content]:
        """Three lines, the most important first; two of them can be all."""
        score, state = self._score, self.state
        whole = score_text(score)
        if self._shape == "small":
            if whole.cell_length <= room:
                return [whole, state.truncate(room, ellipsis=True)]
            first = Content.assemble(numbers_text(score), " · ", risks_text(score))
            if first.cell_length > room:
                first = Content.assemble(numbers_text(score), " · ", score.after)
            rest = Content.assemble(status_text(score.status), " · ", state)
            return [first, rest.truncate(room, ellipsis=True)]
        if whole.cell_length > room:
            first = Content.assemble(numbers_text(score), " · ", status_text(score.status))
            return [first, risks_text(score), state.truncate(room, ellipsis=True)]
        return [whole, self._legend(room), state.truncate(room, ellipsis=True)]

    def _line(self, width: int) -> Content:
        state = self.state
        legend = self._legend(max(0, width - state.cell_length - 4))
        return Content.assemble(" ", state, "   ", legend).truncate(width, ellipsis=True)

    def _legend(self, room: int) -> Content:
        """What the signs mean, and how many there are of each, as far as there is room."""
        counts = Counter(lamp.light for lamp in self._lamps)
        line = Content("")
        for light in Light:
            if not counts[light]:
                continue
            item = Content.assemble(
                (SIGNS[light], LIGHT_STYLES[light]),
                (f" {counts[light]} {_SHORT.get(light, light)}", "dim"),
            )
            longer = Content.assemble(line, "  " if line else "", item)
            if longer.cell_length > room:
                break
            line = longer
        return line


class Lamps(Widget):
    """Shows a board; while a target is idle, the row with the time alone is drawn."""

    def __init__(self) -> None:
        super().__init__(id="board")
        self.auto_links = False  # a lamp is clicked, and keeps its colour
        self._board: Board | None = None

    def show(self, board: Board) -> None:
        """Draw what changed."""
        before, self._board = self._board, board
        if before is None or before.lit != board.lit:
            self.refresh()
        elif before.state.plain != board.state.plain:
            width, height = self.content_size
            self.refresh(Region(0, height - 1, width, 1))

    def render(self) -> Board | str:
        """The board."""
        return self._board or ""


def _name_style(lamp: Lamp, selected: Cap | None) -> str:
    style = "dim" if lamp.light in (Light.DARK, Light.INCIDENTAL) else "bold"
    return f"{style} reverse" if lamp.cap == selected else style


def shape_of(width: int, height: int) -> str:
    """How the lamps are laid out on a screen of this size."""
    if width >= 156 and height >= 40:
        return "named"
    return "small" if height < 20 or width < 70 else "usual"
