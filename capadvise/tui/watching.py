"""The screen of ``watch``: what is refused on this machine, by owner."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterable
from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.driver import Driver
from textual.screen import Screen
from textual.theme import Theme
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from capadvise.judgement.watched import WatchFinding
from capadvise.model.escape import printable
from capadvise.report.lamps import SIGNS, Light
from capadvise.report.watch import cure, refuser_text
from capadvise.tui import help
from capadvise.tui.driver import TerminalDriver, gone
from capadvise.tui.early import EarlyKeys
from capadvise.tui.fitting import Fitting
from capadvise.tui.helpscreen import HelpScreen
from capadvise.tui.keys import KeyedList, KeyedScroll, Keys
from capadvise.tui.page import Page, Wrapped
from capadvise.tui.watch_rows import FindingRow, OwnerRow, WatchRow, rows_of
from capadvise.workflow.protocols import WatchSource

_TOGETHER, _COUNTED = 0.2, 2.0
"""Seconds between two looks at what is new, and at the counts."""
_ENDING = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


class WatchLine(Wrapped):
    """A row in as many columns as there are."""

    def __init__(self, row: WatchRow, last_cap: int) -> None:
        self._row, self._last = row, last_cap

    def lines(self, width: int) -> list[Content]:
        """One line; the lamps go where there is no room."""
        row = self._row
        if isinstance(row, FindingRow):
            dim = "dim" if row.finding.hidden else ""
            parts: list[Content | str | tuple[str, str]] = [(f"{row.count:>9}×  ", "bold")]
            parts += [(row.call, dim), ("  ", ""), (row.why, dim or "$text-warning")]
            return [Content.assemble(*parts).truncate(width, ellipsis=True)]
        lamps = [Light.DENIED if cap in row.caps else Light.DARK for cap in range(self._last + 1)]
        beside = len(lamps) + _COUNT
        lit = width >= beside + _NAME
        room = min(36, width - beside) if lit else max(width - _COUNT, 1)
        name = Content.styled(row.name, "bold").truncate(room, ellipsis=True)
        parts = ["▸ " if row.folded else "▾ ", name, " " * (room - name.cell_length + 1)]
        parts += [(SIGNS[light], _STYLES[light]) for light in lamps if lit]
        parts.append((f" {row.count:>8}×", "bold"))
        return [Content.assemble(*parts).truncate(width, ellipsis=True)]


_NAME, _COUNT = 16, 13
"""Cells: the least that a name gets, and what sign and count take."""
_STYLES = {Light.DENIED: "bold $text-error", Light.DARK: "dim"}


class WatchScreen(Fitting, Screen[None]):
    """The list, and what there is to say of the highlighted row."""

    BINDINGS: ClassVar = [
        Binding("space", "freeze", "Freeze", tooltip="Keep the screen as it is", id="freeze"),
        Binding("a", "everything", "Harmless", tooltip="Show what has no effect", id="harmless"),
        Binding("question_mark,f1", "help", "Help", id="help"),
        Binding("q,escape,ctrl+c", "leave", "Quit", key_display="q", id="leave-watch"),
    ]

    def __init__(
        self, source: WatchSource, note: Callable[[WatchFinding], str | None], *, everything: bool
    ) -> None:
        super().__init__()
        self._source, self._note, self._everything = source, note, everything
        self._folded: set[str] = set()
        self._rows: list[WatchRow] = []
        self._frozen = False

    def compose(self) -> ComposeResult:
        yield Static(id="watch-top", markup=False)
        findings = KeyedList(id="findings", markup=False)
        findings.border_title = "Refused calls"
        yield findings
        with KeyedScroll(id="finding"):
            yield Static(id="finding-text", markup=False)
        yield Keys()

    def on_mount(self) -> None:
        """The list has the keys."""
        self.query_one("#findings").focus()
        self.show()

    def show(self) -> None:
        """Draw what is known."""
        if self._frozen:
            self._show_top()
            return
        rows = rows_of(self._source.findings, self._folded, everything=self._everything)
        if rows != self._rows or not rows:
            self._draw(rows)
        self._show_top()

    def _draw(self, rows: list[WatchRow]) -> None:
        table = self.query_one("#findings", OptionList)
        before, self._rows = self._rows, rows
        keys = [row.key for row in rows]
        with self.app.batch_update():
            if keys == [row.key for row in before]:
                for number, (row, old) in enumerate(zip(rows, before, strict=True)):
                    if row != old:
                        line = WatchLine(row, self._source.last_cap)
                        table.replace_option_prompt_at_index(number, line)
            else:
                at = table.highlighted
                # Who is at the top stays there: what is new comes in there.
                kept = before[at].key if at and at < len(before) else None
                table.set_options(Option(WatchLine(row, self._source.last_cap)) for row in rows)
                if rows:
                    table.highlighted = (
                        keys.index(kept) if kept in keys else min(at or 0, len(rows) - 1)
                    )
            self._show_finding()

    def _show_top(self) -> None:
        findings = list(self._source.findings)
        shown = [finding for finding in findings if finding.hidden is None]
        calls, seconds = sum(finding.count for finding in shown), int(self._source.seconds)
        parts: list[str | tuple[str, str]] = [
            (" capadvise ", "bold $text-primary"),
            (f" {len(shown)} finding{'s' * (len(shown) != 1)}", "bold"),
            f" · {calls} refused call{'s' * (calls != 1)}",
            (f" · {len(findings) - len(shown)} harmless", "dim"),
            (f" · {seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}", "dim"),
        ]
        if self._frozen:
            parts.append(("  frozen", "bold $text-warning"))
        if not self._source.hears_audit:
            parts.append(("  no audit records", "bold $text-warning"))
        if self._source.dropped:
            parts.append((f"  {self._source.dropped} events dropped", "bold $text-warning"))
        self.query_one("#watch-top", Static).update(Content.assemble(*parts), layout=False)

    def _show_finding(self) -> None:
        at = self.query_one("#findings", OptionList).highlighted
        row = self._rows[at] if at is not None and at < len(self._rows) else None
        self.query_one("#finding-text", Static).update(self._page(row))

    def _page(self, row: WatchRow | None) -> Page:
        page = Page()
        if row is None:
            page.say(Content.styled("Nothing was refused so far.", "dim"))
        elif isinstance(row, OwnerRow):
            lacked = ", ".join(cap.name for cap in sorted(row.caps))
            page.say(f"{row.name}: {f'lacked {lacked}' if lacked else 'lacked no capability'}")
            for way in self._cures(row):
                page.say(Content.assemble(("cure: ", "bold"), printable(way)))
        else:
            finding = row.finding
            page.say(Content.styled(row.call, "bold"))
            where = f"pid {finding.call.pid}, uid {finding.call.uid}: {refuser_text(finding)}"
            page.say(printable(where))
            if finding.hidden:
                page.say(printable(f"harmless: {finding.hidden}"))
            else:
                page.say(Content.assemble(("cure: ", "bold"), printable(cure(finding))))
            if note := self._note(finding):
                page.say(printable(note))
        return page

    def _cures(self, row: OwnerRow) -> Iterable[str]:
        """Of all that was refused to an owner, the most frequent first, each once."""
        refused = [
            finding
            for finding in self._source.findings
            if finding.call.owner == row.owner and finding.hidden is None
        ]
        refused.sort(key=lambda finding: (-finding.count, finding.number))
        return dict.fromkeys(map(cure, refused))

    def on_option_list_option_highlighted(self) -> None:
        """What there is to say of it."""
        self._show_finding()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Open or close an owner."""
        row = self._rows[event.option_index]
        if isinstance(row, OwnerRow):
            self._folded ^= {row.key}
            self.show()

    def action_freeze(self) -> None:
        """Keep the screen as it is, or go on."""
        self._frozen = not self._frozen
        self.show()

    def action_everything(self) -> None:
        """What has no effect, too, or not."""
        self._everything = not self._everything
        self.show()

    def action_help(self) -> None:
        """The keys, and what the signs mean."""
        shown: dict[str, tuple[str, str]] = {}
        for active in self.active_bindings.values():
            binding = active.binding
            if binding.show:
                text = binding.tooltip or binding.description
                shown.setdefault(binding.action, (self.app.get_key_display(binding), text))
        keys = [("enter", "Open or close an owner"), *shown.values()]
        self.app.push_screen(HelpScreen(keys, help.WATCH, signs=help.WATCH_LAMPS))

    def action_leave(self) -> None:
        """End the watch."""
        self.app.exit()


class WatchApp(App[None]):
    """Looks at a watch, and draws what it knows."""

    CSS_PATH: ClassVar = ["capadvise.tcss"]
    ENABLE_COMMAND_PALETTE = False

    def __init__(
        self,
        source: WatchSource,
        *,
        note: Callable[[WatchFinding], str | None] = lambda finding: None,
        everything: bool = False,
        seconds: float | None = None,
        counted: Callable[[], None] = lambda: None,
        theme: Theme | None = None,
        early: EarlyKeys | None = None,
    ) -> None:
        """``note``: what else there is to say of a finding; ``everything``: also what has no
        effect; ``seconds``: end after this time; ``counted``: called when the counts are new."""
        super().__init__(ansi_color=theme.ansi if theme else None)
        if theme:
            self.register_theme(theme)
            self.theme = theme.name
        self._source, self._seconds, self._counted = source, seconds, counted
        self._main = WatchScreen(source, note, everything=everything)
        self.early = early
        self._looks = False

    def get_default_screen(self) -> WatchScreen:
        """The screen."""
        return self._main

    def get_driver_class(self) -> type[Driver]:
        """A terminal can go away."""
        return TerminalDriver

    def on_mount(self) -> None:
        """Wait for news; the kernel counts meanwhile."""
        loop = asyncio.get_running_loop()
        for number in _ENDING:
            loop.add_signal_handler(number, self.exit)
        for fd in self._source.fds:
            loop.add_reader(fd, self._look_soon)
        self.set_interval(_COUNTED, self._count)
        if self._seconds is not None:
            self.set_timer(self._seconds, self.exit)

    def on_unmount(self) -> None:
        """Nobody waits any more."""
        loop = asyncio.get_running_loop()
        for number in _ENDING:
            loop.remove_signal_handler(number)
        for fd in self._source.fds:
            loop.remove_reader(fd)

    def _look_soon(self) -> None:
        """Not again before that: what is refused all the time is not to keep us busy."""
        loop = asyncio.get_running_loop()
        for fd in self._source.fds:
            loop.remove_reader(fd)
        self.set_timer(_TOGETHER, self._look)

    def _look(self) -> None:
        for _ in self._source.news():
            pass
        self._main.show()
        loop = asyncio.get_running_loop()
        for fd in self._source.fds:
            loop.add_reader(fd, self._look_soon)

    def _count(self) -> None:
        if not self.is_headless and gone():
            self.exit()
            return
        if self._source.patience == 0:
            for _ in self._source.news():
                pass
        self._source.count()
        self._counted()
        self._main.show()
