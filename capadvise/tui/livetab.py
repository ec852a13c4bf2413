"""The Live tab: the kernel's checks while the targets run, and their terminal.

It shows what its screen hands down, and never looks at a recorder itself.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.events import Resize
from textual.geometry import Size
from textual.message import Message
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from capadvise.judgement.decide import Verdict
from capadvise.model.escape import printable
from capadvise.report.lamps import SIGNS, score_of
from capadvise.report.words import no_need
from capadvise.tui.capabilities import Capabilities
from capadvise.tui.look import LIGHT_STYLES, end_text, ended_well, risk_text, status_text
from capadvise.tui.output import BORDERS, Output
from capadvise.tui.page import Wrapped
from capadvise.tui.rows import INCIDENTAL
from capadvise.tui.state import TargetState
from capadvise.tui.tab import CapsTab, Moved, Opened, Shown
from capadvise.tui.widgets import KeyedList
from capadvise.workflow.protocols import Now

_WHY = 4
"""The most rows of text on the highlighted capability, with the line over it."""
LONGEST = 200
"""The most characters of a command line that are shown."""


class TargetLine(Wrapped):
    """A service or a container: its lamps, what it needs, and its health."""

    def __init__(self, state: TargetState) -> None:
        self._name = printable(state.name)
        self._lamps = state.lamps()
        self._numbers = state.score().numbers
        self._health = short_health(state.now)
        if state.now.ended and not ended_well(state.now.exit_status):
            self._health = end_text(state.now.exit_status)
        if state.reported is not None:
            self._health = status_text(score_of(state.reported), brief=True)
        self._ended = state.now.ended or state.over is not None

    def lines(self, width: int) -> list[Content]:
        """One line, without the lamps if there is no room."""
        lamps = Content.assemble(*((SIGNS[x.light], LIGHT_STYLES[x.light]) for x in self._lamps))
        sign = ("■ ", "bold") if self._ended else ("● ", "$text-error")
        room = min(24, width - len(self._lamps) - 16)
        name = Content(self._name).truncate(max(room, 12), ellipsis=True)
        parts: list[Content | str | tuple[str, str]] = [sign, name.pad_right(1)]
        parts.append(" " * (max(room, 12) - name.cell_length))
        if room >= 8:
            parts += [lamps, "  "]
        parts += [(f"{self._numbers:6}", "bold"), "  ", self._health]
        return [Content.assemble(*parts).truncate(width, ellipsis=True)]


def short_health(now: Now) -> Content:
    """``✓ healthy``, ``✗ unhealthy for 6 s``."""
    health = now.health
    if health is None:
        return Content("")
    if health.passed:
        return Content.styled("✓ healthy", "$text-success")
    return Content.styled(f"✗ unhealthy for {now.seconds - health.since:.0f} s", "$text-warning")


def health_text(now: Now) -> Content:
    """``health check: failing for 6 s, exit 1: …``."""
    health = now.health
    if health is None:
        return Content("")
    if health.passed:
        return Content.styled("health check passed", "$text-success")
    lines = [line for line in health.text.splitlines() if line.strip()]
    more = f", {printable(lines[-1])[:LONGEST]}" if lines else ""
    seconds = now.seconds - health.since
    return Content.styled(f"health check: failing for {seconds:.0f} s{more}", "$text-warning")


class LiveTab(CapsTab):
    """The Live tab."""

    FOCUS = "#live-caps"

    class Chosen(Message):
        """The user pressed Enter on a capability, or clicked it."""

    @dataclass
    class ServiceChosen(Message):
        """Another target is highlighted."""

        number: int

    def __init__(self, name: str, opened: Opened) -> None:
        super().__init__(name, opened)
        self.output = Output()
        self.caps = Capabilities("live-caps", folds=(INCIDENTAL,))
        self._title = printable(shlex.join(opened.argv)[:LONGEST])
        self._recording = opened.source is not None
        self._has_terminal = opened.source is not None and opened.source.has_terminal
        self._targets: list[str] = []
        self._state: TargetState | None = None

    def compose(self) -> ComposeResult:
        yield KeyedList(id="targets", markup=False)
        with Vertical(id="live-panes"):
            with Vertical(id="caps-pane"):
                yield self.caps
                yield Static(id="live-why", markup=False)
            yield self.output

    def on_mount(self) -> None:
        self.query_one("#targets").border_title = "Targets"
        self.query_one("#targets").display = False
        self.query_one("#caps-pane").border_title = "Capabilities"
        self.output.border_title = Content(f"Output of {self._title}")
        self.output.display = self._has_terminal
        self.watch(self.output, "typing", self._share, init=False)
        self.watch(self.output, "quiet", self._share, init=False)
        if not self._recording:
            self.query_one("#live-why", Static).update(
                Content.styled("Nothing was recorded here: this is a saved report.", "dim")
            )

    def on_resize(self, event: Resize) -> None:
        self.lay_out(event.size)
        self._share()
        self.output.fit()

    def lay_out(self, size: Size) -> None:
        """Lay the panes out: side by side if there is room."""
        self.set_class(size.width >= 120, "wide")
        self.set_class(size.height < 16, "low")
        self.output.shared = size.width < 120

    def _share(self) -> None:
        """Give the list the rows that it needs, and the output the others, but never less than
        some. While the user types into the output, it has half of the rows."""
        shared = self.output.shared and self._has_terminal
        self.set_class(shared and self.output.typing, "typing")
        if self.output.typing or not shared:
            self.query_one("#caps-pane").styles.height = "1fr"
            return
        rows = self.query_one("#live-panes").size.height
        why = 0 if self.has_class("low") else _WHY
        needed = self.caps.option_count + BORDERS + why
        least = 1 + BORDERS if self.output.quiet else max(rows // 3, 2 + BORDERS)
        self.query_one("#caps-pane").styles.height = max(min(needed, rows - least), 1)

    def show(self, shown: Shown) -> None:
        states, state = shown.states, shown.state
        self._show_targets(states)
        self._state = state
        self.query_one("#caps-pane").border_title = Content(
            f"Capabilities of {printable(state.name)}" if len(states) > 1 else "Capabilities"
        )
        self.caps.show(state.rows)
        self.draw_why()
        self._share()

    def _show_targets(self, states: Sequence[TargetState]) -> None:
        table = self.query_one("#targets", OptionList)
        table.display = len(states) > 1
        if len(states) < 2:
            return
        names = [state.name for state in states]
        lines = [TargetLine(state) for state in states]
        if names == self._targets:
            for number, line in enumerate(lines):
                if str(line) != str(table.get_option_at_index(number).prompt):
                    table.replace_option_prompt_at_index(number, line)
        else:
            at = table.highlighted or 0
            table.set_options(Option(line) for line in lines)
            table.highlighted = min(at, len(lines) - 1)
        self._targets = names

    def draw_why(self) -> None:
        """Draw the text on the highlighted capability, or on all."""
        if self._state is not None:
            self.query_one("#live-why", Static).update(self._why(self._state))

    def _why(self, state: TargetState) -> Content:
        cap = self.caps.selected
        if state.reported is not None and not state.now.tallies:
            return Content(no_need(state.reported))
        if state.now.ended and not state.now.tallies:
            return Content("No capability check was seen.")
        if cap is None or not state.rows:
            hint = "Capabilities appear when the kernel checks them."
            return Content.styled("" if state.now.ended else hint, "dim")
        need = state.proposal.need(cap)
        known = need.verdict is not Verdict.NOT_CHECKED
        reason = printable(need.reason) if known else "not judged yet"
        return Content.assemble(
            (f"{cap.short}: ", "bold"),
            f"{reason}.  ",
            ("risk ", "dim"),
            risk_text(state.risks.get(cap)),
        )

    @on(OptionList.OptionHighlighted, "#targets")
    def _target(self, event: OptionList.OptionHighlighted) -> None:
        self.post_message(self.ServiceChosen(event.option_index))

    @on(OptionList.OptionSelected, "#targets")
    def _into(self) -> None:
        self.caps.focus()

    @on(OptionList.OptionHighlighted, "#live-caps")
    def _highlighted(self) -> None:
        self.draw_why()
        self.post_message(Moved())

    @on(OptionList.OptionSelected, "#live-caps")
    def _selected(self, event: OptionList.OptionSelected) -> None:
        """Fold a group, or go on to the review of a capability."""
        name = event.option.id or ""
        if name.startswith("title-"):
            self.caps.fold(name.removeprefix("title-"))
        else:
            self.post_message(self.Chosen())
