"""The live screen: what the kernel is asked while the target runs, and the target's own output.

A view: it looks at a recorder (``protocols``) ten times a second and shows what it saw. Whatever
happens here, the recording goes its own way.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.events import Resize
from textual.reactive import reactive
from textual.widgets import OptionList, Static

from capadvise.catalog import Catalog
from capadvise.decide import Verdict
from capadvise.errors import CapadviseError
from capadvise.report.escape import printable
from capadvise.report.text import how_it_ended
from capadvise.tui import help
from capadvise.tui.app import View
from capadvise.tui.asked import LiveList, Rows
from capadvise.tui.keys import Keys
from capadvise.tui.look import risk_text
from capadvise.tui.output import Output
from capadvise.tui.palette import LIVE_COMMANDS
from capadvise.tui.protocols import LiveSource, Now, Over
from capadvise.tui.top import LONGEST

_EVERY = 0.1
"""Seconds between two looks."""


class LiveView(View):
    """The screen. ``over`` is the end, once there is one."""

    HELP = help.LIVE
    OFFERS = LIVE_COMMANDS
    BINDINGS: ClassVar = [
        Binding("r", "review", "Review", tooltip="Choose, prove, save", id="review"),
        Binding(
            *("i", "type", "Type"),
            tooltip="Give the keyboard to the target",
            id="type",
            priority=True,  # done before the next key is looked at: that one is the target's
        ),
        Binding("p", "pause", "Pause", tooltip="The display, not the recording", id="pause"),
        Binding("u", "fold", "In passing", tooltip="What was asked in passing", id="fold"),
        Binding("q", "stop", "Stop", tooltip="End the target; again: kill it", id="stop"),
        Binding("ctrl+c", "interrupt", "Stop", show=False, id="interrupt"),
    ]
    over: reactive[Over | None] = reactive(None, init=False, bindings=True)
    paused: reactive[bool] = reactive(False, init=False, bindings=True)

    def __init__(
        self,
        recorder: LiveSource,
        catalog: Catalog,
        review: Callable[[Over], View],
        *,
        at_once: bool = False,
    ) -> None:
        """``review`` makes the view that follows; ``at_once``: without being asked for."""
        super().__init__()
        self.recorder = recorder
        self.catalog = catalog
        self.asked = LiveList()
        self.output = Output()
        self._review = review
        self._at_once = at_once
        self._leaving = self._started = False
        self._rows = Rows()
        self._now = Now()

    def compose(self) -> ComposeResult:
        with Horizontal(id="top"):
            yield Static(" capadvise ", id="name")
            yield Static(id="state", markup=False)
            yield Static(id="run", markup=False)
        with Vertical(id="live"):
            with Vertical(id="asked-pane"):
                yield self.asked
                yield Static(id="asked-why", markup=False)
            yield self.output
        yield Keys()

    def on_mount(self) -> None:
        """Titles, and the first look."""
        command = printable(shlex.join(self.recorder.argv)[:LONGEST])
        self.query_one("#asked-pane").border_title = "Capabilities"
        self.output.border_title = f"Output of {command}"
        self.asked.focus()
        self.watch_over()
        self._draw()
        self.set_interval(_EVERY, self.look)

    @property
    def takes_keys(self) -> bool:
        """While the user types into the target."""
        return self.output.typing

    # ------------------------------------------------------------------------------ looking

    def look(self) -> None:
        """Show what there is now; follow the target into and out of the whole screen."""
        if not self._started:
            return
        if self.recorder.wants_screen() and self.over is None:
            self._lend()
        self._now = self.recorder.now()
        if not self.paused:
            self.show()
        else:
            self._draw_top()
        if self.over is None:
            try:
                self.over = self.recorder.over()
            except CapadviseError:
                self.app.exit()  # who owns the recorder hears of it, too, and says so

    def show(self) -> None:
        """Draw all of it."""
        if data := self.recorder.output():
            self.output.feed(data)
        self.asked.show(self._rows.at(self._now))
        self._draw()

    def _lend(self) -> None:
        with self.app.suspend():
            self.recorder.lend()
        self._at_once = True

    def _draw(self) -> None:
        self._draw_top()
        self._draw_why()

    def _draw_top(self) -> None:
        self.query_one("#state", Static).update(self._state())
        self.query_one("#run", Static).update(self._seen())

    def _state(self) -> Content:
        """What goes on."""
        time = _clock(self._now.seconds)
        paused = ("  display paused", "$text-warning") if self.paused else ""
        if self.over is not None:
            status = self.over.report.recording.exit_status
            how = "lost" if status is None else how_it_ended(status)
            return Content.assemble(("■ ", "bold"), f"{how} after {time}", paused)
        if not self._now.seconds:
            return Content("starting …")
        if self._now.stopping is not None:
            left = f"{max(self._now.stopping, 0):.0f} s"
            return Content.assemble(("■ stopping", "bold $text-warning"), f", killed in {left}")
        return Content.assemble(("● ", "$text-error"), f"recording {time}", paused)

    def _seen(self) -> Content:
        """What the observer is, and what it lost: that first, there may be no room for the rest."""
        lost, observer = self._now.lost.signal + self._now.lost.sys_admin, self.recorder.observer
        asked = sum(tally.count for tally in self._now.tallies)
        return Content.assemble(
            (f"{lost} events lost  " if lost else "", "bold $text-warning"),
            f"{asked} checks",
            (f"{'' if lost or not observer else ', nothing lost'}  {observer}", "dim"),
        )

    def _draw_why(self) -> None:
        """What there is to say of the highlighted one, or of all."""
        self.query_one("#asked-why", Static).update(self._why())

    def _why(self) -> Content:
        cap, proposal = self.asked.selected, self._now.proposal
        if self.over is not None and not self._now.tallies:
            return Content("The kernel never asked for any capability.")
        if cap is None or proposal is None:
            return Content.styled("Capabilities appear as the kernel asks for them.", "dim")
        need = proposal.need(cap)
        said = "not judged yet" if need.verdict is Verdict.UNUSED else printable(need.reason)
        return Content.assemble(
            (f"{cap.short}: ", "bold"), f"{said}.  ", ("risk ", "dim"), risk_text(self._risk(cap))
        )

    def _risk(self, cap: int) -> str | None:
        return self.catalog.risk(cap)  # type: ignore[arg-type]

    # ------------------------------------------------------------------------ state to screen

    def watch_over(self) -> None:
        """The end: on to the review, or away, where that is wanted."""
        if self.over is None:
            return
        self.output.typing = False
        self.paused = False
        self.look()
        if self._leaving:
            self.app.exit()
        elif self._at_once:
            self.action_review()
        else:
            self.query_one("#asked-pane").border_subtitle = "r review"

    def watch_paused(self) -> None:
        """Show what came meanwhile, or say that nothing moves."""
        if self._started:
            self.look()

    def on_resize(self, event: Resize) -> None:
        """Side by side where there is room."""
        self.query_one("#live").set_class(event.size.width >= 140, "wide")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hide the keys that would do nothing."""
        running = self.over is None
        match action:
            case "review":
                return not running
            case "type":
                return running and not self.takes_keys
            case "pause" | "stop":
                return running
        return True

    # ---------------------------------------------------------------------- what the keys do

    def action_review(self) -> None:
        """On to the review of the saved report; what is here stays below it."""
        if self.over is None:
            return
        if not self.app.is_screen_installed("review"):  # it keeps what was chosen in it
            self.app.install_screen(self._review(self.over), "review")
        self.app.push_screen("review")

    def action_type(self) -> None:
        """Give the keyboard to the target."""
        self.set_focus(self.output)
        self.output.typing = True

    def action_pause(self) -> None:
        """Stop or go on drawing."""
        self.paused = not self.paused

    def action_fold(self) -> None:
        """Show or hide what was asked in passing."""
        self.asked.fold()

    def action_stop(self) -> None:
        """End the target."""
        self.recorder.stop()

    def action_interrupt(self) -> None:
        """End the target; leave, where it has ended."""
        if self.over is None:
            self.recorder.stop()
        else:
            self.leave()

    def leave(self, code: int = 0) -> None:
        """End the target first; the application ends after it."""
        if self.over is not None:
            super().leave(code)
        elif not self._leaving:
            self._leaving = True
            self.recorder.stop()

    # ----------------------------------------------------------------------------- the panes

    @on(Output.Typed)
    def _typed(self, event: Output.Typed) -> None:
        self.recorder.type(event.data)

    @on(Output.Room)
    def _room(self, event: Output.Room) -> None:
        """The target starts when it is known how much room it has."""
        if self._started:
            self.recorder.resize(event.columns, event.rows)
        else:
            self._started = True
            self.recorder.start(event.columns, event.rows)

    @on(OptionList.OptionHighlighted, "#asked")
    def _highlighted(self) -> None:
        self._draw_why()

    @on(OptionList.OptionSelected, "#asked")
    def _selected(self, event: OptionList.OptionSelected) -> None:
        """Enter or a click."""
        if event.option.id and event.option.id.startswith("title-"):
            self.asked.fold()
        elif self.over is not None:
            self.action_review()


def _clock(seconds: float) -> str:
    """``7.3 s``, ``2:05``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"
