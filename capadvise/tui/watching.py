"""The screen of ``watch``: the calls that are refused on this machine, by owner."""

import asyncio
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.screen import Screen
from textual.theme import Theme
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from capadvise.judgement.watched import Owner, WatchFinding
from capadvise.model.caps import Cap
from capadvise.model.escape import printable
from capadvise.model.recording import RefusedBy
from capadvise.model.wording import counted
from capadvise.report.lamps import SIGNS, Light
from capadvise.report.watch import call_text, cure, refuser_text
from capadvise.tui.dialogs import HelpScreen
from capadvise.tui.driver import TerminalApp, gone
from capadvise.tui.early import EarlyKeys
from capadvise.tui.page import Page, Wrapped
from capadvise.tui.widgets import Fitting, KeyedList, KeyedScroll, Keys
from capadvise.workflow.protocols import WatchSource

_TOGETHER, _COUNTED = 0.2, 2.0
"""Seconds between two looks at what is new, and at the counts."""


_LONGEST = 60
_FOR_WANT_OF_IT = (RefusedBy.CAPABILITY, RefusedBy.LIMIT)
"""The refusals that a capability would have prevented."""


@dataclass(frozen=True, slots=True)
class OwnerRow:
    """An owner, above its findings."""

    owner: Owner
    caps: frozenset[Cap]
    """The capabilities that the owner lacked."""
    findings: int
    count: int
    """The number of refused calls."""
    folded: bool

    @property
    def key(self) -> str:
        """Tells rows apart."""
        return repr(self.owner)

    @property
    def name(self) -> str:
        """The owner's name, escaped."""
        return printable(self.owner.label)[:_LONGEST]


@dataclass(frozen=True, slots=True)
class FindingRow:
    """One finding, with its count at this moment."""

    finding: WatchFinding
    count: int

    @property
    def key(self) -> str:
        """Tells rows apart."""
        return f"finding {self.finding.number}"

    @property
    def call(self) -> str:
        """The call and its result, escaped."""
        return printable(call_text(self.finding))

    @property
    def why(self) -> str:
        """The mechanism that refused it, escaped."""
        return "harmless" if self.finding.hidden else printable(refuser_text(self.finding))


WatchRow = OwnerRow | FindingRow


def rows_of(
    findings: Iterable[WatchFinding], folded: Collection[str], *, everything: bool
) -> list[WatchRow]:
    """The rows: the newest owner first, each with its findings, the most frequent first.
    ``folded``: keys of owners that are closed; ``everything``: harmless findings, too."""
    groups: dict[Owner, list[WatchFinding]] = {}
    for finding in sorted(findings, key=lambda finding: finding.number):
        if everything or finding.hidden is None:
            groups.setdefault(finding.call.owner, []).append(finding)
    rows: list[WatchRow] = []
    for owner, members in reversed(groups.items()):
        caps = frozenset(
            cap for finding in members if finding.by in _FOR_WANT_OF_IT for cap in finding.caps
        )
        closed = repr(owner) in folded
        rows.append(OwnerRow(owner, caps, len(members), sum(one.count for one in members), closed))
        if not closed:
            members.sort(key=lambda finding: (-finding.count, finding.number))
            rows += [FindingRow(finding, finding.count) for finding in members]
    return rows


class WatchLine(Wrapped):
    """A row, cut at the width."""

    def __init__(self, row: WatchRow, last_cap: int) -> None:
        self._row, self._last = row, last_cap

    def lines(self, width: int) -> list[Content]:
        """One line, without the lamps if there is no room."""
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


_LAMPS = """\
The lamps, one for each capability: × a call was refused for lack of it   · none was
"""


class WatchScreen(Fitting, Screen[None]):
    """The list, and a text on the highlighted row."""

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
        self.query_one("#findings").focus()
        self.show()

    def show(self) -> None:
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
                # New owners come in at the top: without a highlighted row, the view stays there.
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
            (f" {counted(len(shown), 'finding')}", "bold"),
            f" · {counted(calls, 'refused call')}",
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
            for way in self._remediations(row):
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

    def _remediations(self, row: OwnerRow) -> Iterable[str]:
        """The remediations for an owner, each once; those of the most frequent refusal first."""
        refused = [
            finding
            for finding in self._source.findings
            if finding.call.owner == row.owner and finding.hidden is None
        ]
        refused.sort(key=lambda finding: (-finding.count, finding.number))
        return dict.fromkeys(map(cure, refused))

    def on_option_list_option_highlighted(self) -> None:
        self._show_finding()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Open or close an owner."""
        row = self._rows[event.option_index]
        if isinstance(row, OwnerRow):
            self._folded ^= {row.key}
            self.show()

    def action_freeze(self) -> None:
        self._frozen = not self._frozen
        self.show()

    def action_everything(self) -> None:
        self._everything = not self._everything
        self.show()

    def action_help(self) -> None:
        shown: dict[str, tuple[str, str]] = {}
        for active in self.active_bindings.values():
            binding = active.binding
            if binding.show:
                text = binding.tooltip or binding.description
                shown.setdefault(binding.action, (self.app.get_key_display(binding), text))
        keys = [("enter", "Open or close an owner"), *shown.values()]
        self.app.push_screen(HelpScreen(keys, "watch", signs=_LAMPS))

    def action_leave(self) -> None:
        self.app.exit()


class WatchApp(TerminalApp[None]):
    """Reads a watch, and draws its findings."""

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
        """``note``: one more sentence on a finding; ``everything``: show harmless refusals, too;
        ``seconds``: end after this time; ``counted``: called when the counts are new."""
        super().__init__(theme, early)
        self._source, self._seconds, self._counted = source, seconds, counted
        self._main = WatchScreen(source, note, everything=everything)

    def get_default_screen(self) -> WatchScreen:
        return self._main

    def on_mount(self) -> None:
        """Wait for news, and read the kernel's counts from time to time."""
        self.end_on_signals()
        self._listen()
        self.set_interval(_COUNTED, self._count)
        if self._seconds is not None:
            self.set_timer(self._seconds, self.exit)

    def _listen(self) -> None:
        for fd in self._source.fds:
            asyncio.get_running_loop().add_reader(fd, self._look_soon)

    def on_unmount(self) -> None:
        for fd in self._source.fds:
            asyncio.get_running_loop().remove_reader(fd)

    def _look_soon(self) -> None:
        """Look once in a while only: a steady stream of refusals is not to keep us busy."""
        for fd in self._source.fds:
            asyncio.get_running_loop().remove_reader(fd)
        self.set_timer(_TOGETHER, self._look)

    def _look(self) -> None:
        for _ in self._source.news():
            pass
        self._main.show()
        self._listen()

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
