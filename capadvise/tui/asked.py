"""The capabilities as they are asked for: the list of the live screen, and what it is made of."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from textual.content import Content
from textual.widgets.option_list import Option

from capadvise.caps import Cap
from capadvise.decide import Verdict
from capadvise.recording import Check
from capadvise.report.escape import printable
from capadvise.report.text import MARKS
from capadvise.tui.evidence import shortened
from capadvise.tui.keys import KeyedList
from capadvise.tui.look import VERDICT_STYLES
from capadvise.tui.protocols import Now

IN_PASSING = "Asked in passing"
_TITLES = {
    None: "Just asked",
    Verdict.REQUIRED: "Needed so far",
    Verdict.USED: "Needed so far",
    Verdict.TOLERATED: "Used, but passes without",
    Verdict.DENIED: "Refused",
    Verdict.ADVISORY: IN_PASSING,
    Verdict.UNUSED: IN_PASSING,
}
_BRIGHT = 1.5
"""Seconds that a capability stays lit after it was asked for the first time."""
_SPAN = 2.0
"""Seconds over which a rate is taken."""


@dataclass(frozen=True, slots=True)
class Row:
    """One capability that was asked for."""

    cap: Cap
    verdict: Verdict | None
    """None: asked a moment ago, and not judged yet."""
    count: int
    rate: float
    """Per second."""
    last: Check | None
    """None: it was never asked for, but answers what another one was asked for."""
    bright: bool
    """Asked for the first time a moment ago."""


class Rows:
    """Makes rows of what is seen at one moment after the other."""

    def __init__(self) -> None:
        self._past: deque[tuple[float, dict[Cap, int]]] = deque()
        self._first: dict[Cap, float] = {}

    def at(self, now: Now) -> list[Row]:
        """The rows of this moment, in the order in which they were first asked for."""
        counts = {tally.last.cap: tally.count for tally in now.tallies}
        self._past.append((now.seconds, counts))
        while len(self._past) > 2 and self._past[1][0] <= now.seconds - _SPAN:
            self._past.popleft()
        then, before = self._past[0]
        span = max(now.seconds - then, 0.5)  # one check is no rate of many a second
        needs = {need.cap: need for need in now.proposal.needs} if now.proposal else {}
        rows = []
        for tally in now.tallies:
            cap, need = tally.last.cap, needs.get(tally.last.cap)
            first = self._first.setdefault(cap, now.seconds)
            rate = 0.0 if len(self._past) < 2 else (tally.count - before.get(cap, 0)) / span
            verdict = need.verdict if need else None
            bright = now.seconds - first < _BRIGHT
            rows.append(Row(cap, verdict, tally.count, rate, tally.last, bright))
        chosen = now.proposal.recommended if now.proposal else frozenset()
        rows += [Row(cap, Verdict.USED, 0, 0.0, None, False) for cap in sorted(chosen - {*counts})]
        return rows


def short_count(number: float) -> str:
    """``950``, ``12.3k``, ``4.1M``: at most six characters."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size * (10 if unit == "k" else 1):
            return f"{number / size:.1f}{unit}"
    return f"{number:.0f}"


class LiveList(KeyedList):
    """The list. It is redrawn in place: nothing jumps while it is read."""

    def __init__(self) -> None:
        super().__init__(id="asked", markup=False)
        self.unfolded = False
        self._rows: list[Row] = []
        self._drawn: dict[str, Content] = {}

    @property
    def selected(self) -> Cap | None:
        """The highlighted capability."""
        option = self.highlighted_option
        if option is None or option.id is None or not option.id.startswith("asked-"):
            return None
        return Cap(int(option.id.removeprefix("asked-")))

    def on_resize(self) -> None:
        """Columns depend on the width."""
        self.show(self._rows)

    def fold(self) -> None:
        """Show or hide what was asked in passing."""
        self.unfolded = not self.unfolded
        self.show(self._rows)

    def show(self, rows: list[Row]) -> None:
        """Draw what changed; all of it only where a row came or went to another group."""
        self._rows = rows
        drawn = {name: (prompt, title) for name, prompt, title in self._prompts()}
        prompts = {name: prompt for name, (prompt, _) in drawn.items()}
        if list(drawn) == list(self._drawn):
            for name, prompt in prompts.items():
                if prompt != self._drawn[name]:
                    self.replace_option_prompt(name, prompt)
        else:
            before = self.highlighted_option.id if self.highlighted_option else None
            if not any(name.startswith("asked-") for name in self._drawn):
                before = None  # nobody chose it
            options = [
                Option(prompt, id=name, disabled=title) for name, (prompt, title) in drawn.items()
            ]
            self.set_options(options)
            names = [name for name, (_, title) in drawn.items() if not title]
            if names:
                self.highlighted = list(drawn).index(before if before in names else names[0])
        self._drawn = prompts

    def _prompts(self) -> Iterator[tuple[str, Content, bool]]:
        """(id, what is drawn, whether it is a title), from top to bottom."""
        for title in dict.fromkeys(_TITLES.values()):
            rows = [row for row in self._rows if _TITLES[row.verdict] == title]
            if not rows:
                continue
            folds = title == IN_PASSING
            glyph = ("▾ " if self.unfolded else "▸ ") if folds else ""
            names = "" if self.unfolded else "  " + ", ".join(row.cap.short for row in rows)
            yield (
                f"title-{title}",
                Content.assemble(
                    (f"{glyph}{title} ", "bold $text-primary"),
                    (f"{len(rows)}{names if folds else ''}", "dim"),
                ),
                not folds,
            )
            if not folds or self.unfolded:
                for row in rows:
                    yield f"asked-{int(row.cap)}", self._prompt(row), False

    def _prompt(self, row: Row) -> Content:
        mark = "?" if row.verdict is None else MARKS[row.verdict]
        style = "" if row.verdict is None else VERDICT_STYLES[row.verdict]
        lit = f"{style} bold reverse" if row.bright else f"{style} bold" if row.rate else "bold"
        wide = self.size.width >= 90  # the titles say it, too
        rate = f"{short_count(row.rate)}/s" if row.rate >= 0.5 else ""
        return Content.assemble(
            (f"{mark} ", style),
            (f"{row.cap.short}", lit),
            " " * (19 - len(row.cap.short)),
            *([(f"{row.verdict or '…':10}", style)] if wide else []),
            (f"{short_count(row.count):>6}× {rate:>8}  ", "dim"),
            *([(_call(row.last), "")] if row.last else []),
        )


def _call(check: Check) -> str:
    """``nginx[812] bind, tcp 0.0.0.0:80``, and whether it was refused."""
    text = f"{shortened(check.program) or '?'}[{check.pid}] {check.syscall or 'page fault'}"
    if check.detail:
        text += f", {shortened(check.detail)}"
    return printable(text) + ("" if check.granted else ", refused")
