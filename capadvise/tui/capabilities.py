"""The list of all capabilities, grouped by verdict, with what the user wants of each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from textual.content import Content
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from capadvise.caps import Cap
from capadvise.catalog import Catalog
from capadvise.decide import Need, Verdict
from capadvise.report.text import MARKS
from capadvise.tui.choice import Choice
from capadvise.tui.keys import KeyedList
from capadvise.tui.look import DECISION_MARKS, VERDICT_STYLES, risk_text

NEVER_ASKED = "Never asked"


@dataclass(frozen=True, slots=True)
class Group:
    """Capabilities that share a fate, under a title."""

    title: str
    needs: tuple[Need, ...]


def groups(choice: Choice) -> tuple[Group, ...]:
    """All capabilities that the kernel knows, by verdict; empty groups are left out."""
    report = choice.report
    known = {need.cap: need for need in report.proposal.needs}
    caps = sorted({*map(Cap, range(report.recording.host.last_cap + 1)), *known})
    by_title: dict[str, list[Need]] = {title: [] for title in _TITLES.values()}
    for cap in caps:
        need = known.get(cap) or report.proposal.need(cap)
        needed = cap in report.proposal.recommended
        by_title["Needed" if needed else _TITLES[need.verdict]].append(need)
    return tuple(Group(title, tuple(needs)) for title, needs in by_title.items() if needs)


_TITLES = {
    Verdict.REQUIRED: "Needed",
    Verdict.USED: "Needed",
    Verdict.TOLERATED: "Used, but passes without",
    Verdict.ADVISORY: "Asked in passing",
    Verdict.DENIED: "Refused",
    Verdict.UNUSED: NEVER_ASKED,
}


def matches(need: Need, catalog: Catalog, wanted: str) -> bool:
    """Whether a search finds a capability: each word in its name, or at the beginning of a word of
    its verdict, its risk, its reason or what it allows."""
    entry = catalog.entry(need.cap)
    said = (need.verdict, catalog.risk(need.cap) or "", need.reason)
    text = " ".join((*said, entry.summary, *entry.allows) if entry else said)
    words = re.findall(r"\w+", text.lower())
    name = need.cap.name.lower()
    return all(
        part in name or any(word.startswith(part) for word in words)
        for part in wanted.lower().split()
    )


class Capabilities(KeyedList):
    """The list. What is highlighted is shown in the panes beside it."""

    def __init__(self, choice: Choice, catalog: Catalog) -> None:
        super().__init__(id="caps", markup=False)
        self.choice = choice
        self.catalog = catalog
        self.unfolded = False
        self.wanted = ""
        self._filled_for = 0
        self._counts: dict[Cap, int] = {}

    @property
    def selected(self) -> Cap | None:
        """The highlighted capability."""
        option = self.highlighted_option
        if option is None or option.id is None or not option.id.startswith("cap-"):
            return None
        return Cap(int(option.id.removeprefix("cap-")))

    @property
    def _room(self) -> int:
        """Columns of a row: without its padding and a scrollbar."""
        return self.content_size.width - 3

    def on_resize(self) -> None:
        """Columns depend on the width."""
        if self._room != self._filled_for:
            self.fill()

    def fill(self) -> None:
        """Draw anew; the highlight stays on its capability where that is still there."""
        self._filled_for = self._room
        before = self.highlighted_option.id if self.highlighted_option else None
        options = list(self._rows(self._room))
        with self.prevent(OptionList.OptionHighlighted):
            self.set_options(options)
            ids = [option.id for option in options]
            first = next((n for n, option in enumerate(options) if not option.disabled), None)
            self.highlighted = ids.index(before) if before and before in ids else first
        if (self.highlighted_option.id if self.highlighted_option else None) != before:
            self.watch_highlighted(self.highlighted)

    def redraw(self, cap: Cap) -> None:
        """Draw one capability anew."""
        need = self.choice.report.proposal.need(cap)
        self.replace_option_prompt(f"cap-{int(cap)}", self._row_of(need, self._room))

    def _rows(self, width: int) -> Iterator[Option]:
        for group in groups(self.choice):
            needs = [need for need in group.needs if matches(need, self.catalog, self.wanted)]
            if not needs:
                continue
            folds = group.title == NEVER_ASKED and not self.wanted
            glyph = ("▾ " if self.unfolded else "▸ ") if folds else ""
            title = f"{glyph}{group.title} "
            style = "bold $text-primary"
            head = Content.assemble((title, style), (f"{len(needs)}", "dim"))
            yield Option(head, id="fold" if folds else None, disabled=not folds)
            if not folds or self.unfolded:
                for need in needs:
                    yield Option(self._row_of(need, width), id=f"cap-{int(need.cap)}")

    def _row_of(self, need: Need, width: int) -> Content:
        cap, verdict = need.cap, need.verdict
        mark, mark_style = DECISION_MARKS[self.choice.decision(cap)]
        style = VERDICT_STYLES[verdict]
        in_set = cap in self.choice.caps
        parts: list[Content | tuple[str, str]] = [
            (f"{mark} ", mark_style),
            (f"{MARKS[verdict]} ", style),
            (f"{cap.short:18} ", "bold" if in_set else ""),
            (f"{verdict!s:9} ", style),
        ]
        if width >= 41:
            risk = risk_text(self.catalog.risk(cap))
            parts += [risk, (" " * (8 - len(risk.plain)), "")]
        if width >= 47 and self._asked(need):
            parts.append((f"{self._asked(need):>6}×", "dim"))
        return Content.assemble(*parts)

    def _asked(self, need: Need) -> int:
        if need.cap not in self._counts:
            self._counts[need.cap] = need.asked  # 100,000 pieces of evidence are slow to add up
        return self._counts[need.cap]
