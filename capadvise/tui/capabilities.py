"""The list of capabilities, for a recording and for its review. It is redrawn in place: nothing
jumps while it is read."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from textual.content import Content
from textual.events import Click
from textual.message import Message
from textual.widgets.option_list import Option

from capadvise.model.caps import Cap
from capadvise.report.lamps import SIGNS, Light
from capadvise.tui.look import DECISION_MARKS, LIGHT_STYLES, worded_risk
from capadvise.tui.page import Wrapped
from capadvise.tui.rows import (
    INCIDENTAL,
    NOT_CHECKED,
    Row,
    SortOrder,
    arranged,
    fitted,
    short_count,
)
from capadvise.tui.widgets import KeyedList

_NAME, _RISK, _COUNT, _PLACE, _RATE = 19, 16, 8, 11, 9
_Part = Content | str | tuple[str, str]
"""Widths of columns."""
_UNLIT = (Light.DARK, Light.INCIDENTAL, Light.DENIED, Light.UNJUDGED)


class CapabilityLine(Wrapped):
    """A row; it has as many columns as there is room for."""

    def __init__(self, row: Row) -> None:
        self.row = row

    def lines(self, width: int) -> list[Content]:
        row, live = self.row, self.row.decision is None
        style = LIGHT_STYLES[row.light]
        lit = f"{style} reverse" if row.bright else "" if row.light in _UNLIT else "bold"
        parts: list[_Part] = []
        if row.decision is not None:
            mark, mark_style = DECISION_MARKS[row.decision]
            parts.append((f"{mark} ", mark_style))
        parts += [(f"{SIGNS[row.light]} ", style), (row.cap.short, lit)]
        parts.append(" " * (_NAME - len(row.cap.short)))
        parts += self._columns(width - _NAME - (2 if live else 4), live=live)
        return [Content.assemble(*parts).truncate(width, ellipsis=True)]

    def _columns(self, room: int, *, live: bool) -> Iterator[_Part]:
        """The other columns, as far as there is room: risk, checks, place in a user namespace,
        checks a second, the call."""
        row = self.row
        if room >= _RISK - 1:
            yield worded_risk(row.risk)
            yield " " * (_RISK - len(row.risk))
            room -= _RISK
        if room >= _COUNT + 14 * live and row.checks + row.incidental:
            yield (f"{short_count(row.checks or row.incidental):>6}× ", "dim")
            room -= _COUNT
        if row.place and room >= _PLACE + 18:
            yield (f" {row.place:{_PLACE - 1}}", "dim")
            room -= _PLACE
        if room >= _RATE + 34 and live:
            rate = f"{short_count(row.rate)}/s" if row.rate >= 0.5 else ""
            yield (f"{rate:>7}  ", "dim")
            room -= _RATE
        incidental = ""
        if row.incidental and row.checks:
            incidental = f"  +{short_count(row.incidental)} incidental"
        if room > 12 and row.call:
            if len(fitted(row.call, 0).partition(",")[0]) + len(incidental) >= room:
                incidental = ""
            room -= len(incidental)
            yield Content(fitted(row.call, room)).truncate(room, ellipsis=True)
            yield (incidental, "dim")


def cap_of(option: Option | None) -> Cap | None:
    """The capability of a line, by its id; None for any other line."""
    kind, _, number = ((option.id if option else None) or "").partition("-")
    return Cap(int(number)) if kind == "cap" else None


class Capabilities(KeyedList):
    """The list. Its tab explains the highlighted capability beside it."""

    @dataclass
    class Marked(Message):
        """The mark of a capability was clicked."""

        cap: Cap

    def __init__(self, name: str, *, folds: Collection[str] = (INCIDENTAL, NOT_CHECKED)) -> None:
        """``folds``: groups that are folded at first."""
        super().__init__(id=name, markup=False)
        self.folded = set(folds)
        self.order = SortOrder.RISK
        self.wanted: dict[Cap, int] | None = None
        """The capabilities that a search matches, with the rank of each."""
        self.typed = ""
        self._folds = frozenset(folds)
        self._rows: list[Row] = []
        self._drawn: dict[str, object] = {}

    @property
    def selected(self) -> Cap | None:
        return cap_of(self.highlighted_option)

    def select(self, cap: Cap) -> None:
        """Highlight a capability, and unfold its group if needed."""
        title = next((row.title for row in self._rows if row.cap == cap), None)
        if title in self.folded:
            self.folded.discard(title)
            self.show(self._rows)
        ids = [option.id for option in self.options]
        if f"cap-{int(cap)}" in ids:
            self.highlighted = ids.index(f"cap-{int(cap)}")

    def fold(self, title: str | None = None) -> None:
        """Fold or unfold a group; without a title, all of them."""
        titles = self._folds if title is None else {title}
        if titles & self.folded:
            self.folded -= titles
        else:
            self.folded |= titles
        self.show(self._rows)

    def sort(self, order: SortOrder) -> None:
        self.order = order
        self.show(self._rows)

    def show(self, rows: list[Row]) -> None:
        """Draw what changed; all of it only if a row appeared or went to another group."""
        self._rows = rows
        drawn = dict(self._items())
        if list(drawn) == list(self._drawn):
            for name, value in drawn.items():
                if value != self._drawn[name]:
                    self.replace_option_prompt(name, self._prompt(value))
        else:
            self._refill(drawn)
        self._drawn = drawn

    def _refill(self, drawn: dict[str, object]) -> None:
        before = self.highlighted_option.id if self.highlighted_option else None
        if not any(name.startswith("cap-") for name in self._drawn):
            before = None  # the user did not choose it
        names = list(drawn)
        self.set_options(
            Option(self._prompt(value), id=name, disabled=not self._reacts(name))
            for name, value in drawn.items()
        )
        best = self._best(names)
        self.highlighted = names.index(before) if before in names and best is None else best
        if self.highlighted is None:
            first = [n for n, name in enumerate(names) if self._reacts(name)]
            self.highlighted = first[0] if first else None

    def _best(self, names: list[str]) -> int | None:
        if not self.typed or not self.wanted:
            return None
        cap = min(self.wanted, key=lambda cap: self.wanted[cap] if self.wanted else 0)
        return names.index(f"cap-{int(cap)}") if f"cap-{int(cap)}" in names else None

    def _reacts(self, name: str) -> bool:
        return name.startswith("cap-") or name.removeprefix("title-") in self._folds

    @staticmethod
    def _prompt(value: object) -> Content | CapabilityLine:
        return CapabilityLine(value) if isinstance(value, Row) else value  # type: ignore[return-value]

    def _items(self) -> Iterator[tuple[str, object]]:
        """(id, what is drawn), from top to bottom."""
        groups = arranged(self._rows, self.order, self.wanted if self.typed else None)
        for title, rows in groups.items():
            folded = title in self.folded and not self.typed
            sign = ("▸ " if folded else "▾ ") if title in self._folds else ""
            names = f"  {', '.join(row.cap.short for row in rows)}" if folded else ""
            yield (
                f"title-{title}",
                Content.assemble(
                    (f"{sign}{title} ", "bold $text-primary"),
                    (f"{len(rows)}{names}", "$text-muted"),
                ),
            )
            if not folded:
                for row in rows:
                    yield f"cap-{int(row.cap)}", row
        if self.typed and not groups:
            yield "nothing", Content.styled("No capability matches. Esc shows all.", "dim")

    async def _on_click(self, event: Click) -> None:
        """A click on the mark of a row keeps or drops its capability."""
        index = event.style.meta.get("option")
        if event.x <= 2 and index is not None:
            cap = cap_of(self.options[index])
            if cap is not None:
                self.post_message(self.Marked(cap))
