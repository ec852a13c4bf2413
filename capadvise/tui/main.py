"""The one screen: four tabs on one state. A recording flows into its review by itself.

It looks at a recorder (``protocols``) and shows what it saw. Whatever happens here, the recording
goes its own way.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual.actions import parse
from textual.app import ComposeResult, SystemCommand
from textual.content import Content
from textual.events import Resize
from textual.reactive import reactive
from textual.screen import Screen
from textual.widgets import ContentSwitcher

from capadvise.catalog import Catalog
from capadvise.model.caps import Cap
from capadvise.model.errors import CapadviseError
from capadvise.model.escape import printable
from capadvise.report.pages import ON_TERMINAL
from capadvise.tui.acting import Actions
from capadvise.tui.choice import Choice
from capadvise.tui.fitting import Fitting
from capadvise.tui.header import Board, Lamps, Tabs, shape_of
from capadvise.tui.keys import Keys
from capadvise.tui.livetab import LONGEST, LiveTab
from capadvise.tui.messages import Begun
from capadvise.tui.output import Output
from capadvise.tui.palette import BINDINGS, COMMANDS
from capadvise.tui.prooftab import ProofTab
from capadvise.tui.reviewtab import ReviewTab
from capadvise.tui.risktab import RiskTab
from capadvise.tui.state import TargetState
from capadvise.tui.status import doing
from capadvise.tui.tab import MainTab, Shown
from capadvise.workflow.protocols import Confirm, LiveSource, Over, Prover, unconfirmed

_BUSY, _QUIET = 0.1, 0.5
"""Seconds between two looks at a recording: where something moves, and where nothing does."""


class Main(Actions, Fitting, Screen[None]):
    """The screen. ``overs``: what has been recorded already."""

    BINDINGS: ClassVar = list(BINDINGS)
    ALLOW_IN_MAXIMIZED_VIEW = ".-textual-system,#keys"
    place: reactive[str] = reactive("review", init=False, bindings=True)
    current: reactive[int] = reactive(0, init=False, bindings=True)
    over: reactive[bool] = reactive(False, init=False, bindings=True)
    frozen: reactive[bool] = reactive(False, init=False, bindings=True)
    format_name: reactive[str] = reactive("", init=False)

    def __init__(
        self,
        catalog: Catalog,
        *,
        source: LiveSource | None = None,
        overs: Sequence[Over] = (),
        prover: Callable[[Path], Prover | None] = lambda _: None,
        confirm: Confirm = unconfirmed,
        prove: bool = False,
    ) -> None:
        """``prove``: search for the minimal set at once, if that can be done."""
        super().__init__()
        self.catalog = catalog
        self.source = source
        self.leaving = False
        self.prove_at_once = prove
        self._prover = prover
        self.confirm = confirm
        self._started = False
        self._asleep = False
        self.states = [TargetState(over.report.target.name, catalog) for over in overs]
        self.states = self.states or [TargetState("", catalog)]
        for state, over in zip(self.states, overs, strict=False):
            state.ended(over, prover)
        title = source.argv if source else overs[0].report.target.argv
        self.set_reactive(Main.over, source is None)
        self.set_reactive(Main.place, "live" if source else "review")
        shown = source is not None and source.has_terminal
        self.live = LiveTab(title, has_terminal=shown, recording=source is not None)
        self.review = ReviewTab(catalog)
        self.proof = ProofTab()
        self.tabs: dict[str, MainTab] = {
            "live": self.live,
            "review": self.review,
            "proof": self.proof,
            "risk": RiskTab(catalog),
        }
        self._title = printable(shlex.join(title)[:LONGEST])

    def compose(self) -> ComposeResult:
        self.live.lay_out(self.app.size)  # the target is told a size once, not twice
        yield Tabs()
        yield Lamps()
        with ContentSwitcher(initial=self.place, id="tabs"):
            yield from self.tabs.values()
        yield Keys()

    def on_mount(self) -> None:
        """Where to begin."""
        self.app.app_resume_signal.subscribe(self, self._resumed)
        self.watch_place(self.place)
        if self.source is not None:
            if not self.source.has_terminal:
                self._begin(80, 24)
            self.set_timer(_BUSY, self.look)
        elif self.prove_at_once:
            self.call_after_refresh(self._prove_at_once)
        self.post_message(Begun())

    def _resumed(self, _: object) -> None:
        """After Ctrl-Z and ``fg``, the terminal has forgotten all of it."""
        self.app.refresh(repaint=True, layout=True)
        self.refresh(repaint=True, layout=True)

    # ------------------------------------------------------------------------------ the state

    @property
    def state(self) -> TargetState:
        """The target that is shown."""
        return self.states[min(self.current, len(self.states) - 1)]

    @property
    def choice(self) -> Choice | None:
        """What the user wants of it; None before its report is there."""
        return self.state.choice

    def choose(self, choice: Choice) -> None:
        """Another choice, which can be taken back."""
        self.state.choose(choice)
        self.show()

    @property
    def selected(self) -> Cap | None:
        """The highlighted capability of the tab that is shown."""
        return (self.tab if self.tab.LISTS_CAPS else self.review).selected

    @property
    def tab(self) -> MainTab:
        """The tab that is shown."""
        return self.tabs[self.place]

    @property
    def takes_keys(self) -> bool:
        """While the user types into the target."""
        return self.live.output.typing

    # ------------------------------------------------------------------------ state to screen

    def show(self) -> None:
        """Draw the tab that is shown, and what is over all of them."""
        with self.app.batch_update():
            if self.place != "proof":
                self.tab.show(self._shown)
            self.show_board()
        if self.place == "proof":
            self._show_proof()
        else:
            self.call_after_refresh(self._show_proof)  # what can be proven takes a look around

    def _show_proof(self) -> None:
        """Its keys work on every tab."""
        self.proof.show(self._shown)
        self.refresh_bindings()

    @property
    def _shown(self) -> Shown:
        return Shown(self.states, self.states.index(self.state), self.language)

    def show_board(self) -> None:
        """The lamps, and what goes on."""
        state = self.state
        event = self.live.event if self.place == "live" else None
        board = Board(
            state.lamps(event),
            state.score(),
            doing(self.source, state, hint=self.place == "live" and self.over, frozen=self.frozen),
            self.selected,
            shape=shape_of(*self.size),
        )
        self.query_one(Lamps).show(board)

    def watch_place(self, place: str) -> None:
        """Another tab, and the focus on its list."""
        focused = self.tab.FOCUS
        if place == "live" and len(self.states) > 1:
            focused = "#targets"
        with self.app.batch_update():  # drawn once, not for each of these
            self.query_one(ContentSwitcher).current = place
            self.mark()
            self.query_one(focused).focus()
            self.show()

    def mark(self) -> None:
        """The top line."""
        lost = max(state.dropped for state in self.states)
        name = (
            self._title
            if len(self.states) < 2
            else f"{printable(self.state.name)} ({self.current + 1} of {len(self.states)})"
        )
        title = Content.assemble(
            (f"{lost} events dropped  " if lost else "", "bold $text-warning"), name
        )
        self.query_one(Tabs).mark(self.place, title, live=self.source is not None)

    def watch_current(self) -> None:
        """Another target."""
        self.mark()
        self.show()

    def watch_format_name(self) -> None:
        """Another language, in sight."""
        if self.review.has_class("narrow"):
            self.review.view = "snippet"
        self.show()

    def on_resize(self, event: Resize) -> None:
        """The lamps are laid out for the size."""
        shape = shape_of(*event.size)
        for name in ("small", "usual", "named"):
            self.query_one("#board").set_class(name == shape, f"-{name}")
        self.call_after_refresh(self.show)
        if not self.live.output.scrollable_content_region:
            self.call_after_refresh(self._begin_in_pane)  # there is no room for one

    # -------------------------------------------------------------------------------- looking

    def look(self) -> None:
        """See what the recorder has seen meanwhile."""
        source = self.source
        if source is None or self.over or not self.is_attached:
            return
        changed = self._look_at_output(source)
        if self._started:
            changed |= self._look_at(source)
        if not self.over:
            self.set_timer(_BUSY if changed else _QUIET, self.look)

    def _look_at_output(self, source: LiveSource) -> bool:
        if not source.has_terminal or self.frozen:
            return False
        data = source.output()
        self.live.output.feed(data)
        wants = source.wants_keys()
        if wants and not self._asleep and self.place == "live" and self.is_current:
            self.give_keys()
        self._asleep = wants  # once for each time that it waits: who takes them back, has them
        return bool(data)

    def _look_at(self, source: LiveSource) -> bool:
        try:
            overs = source.over()
        except CapadviseError:
            self.app.exit()  # who owns the recorder hears of it, too, and says so
            return False
        nows = source.now()
        if len(self.states) < len(nows):
            names = [now.name for now in nows[len(self.states) :]]
            self.states += [TargetState(name, self.catalog) for name in names]
            if self.focused is self.live.caps:  # the first one to be chosen from is a target
                self.call_after_refresh(lambda: self.query_one("#targets").focus())
        changed = False
        for state, now in zip(self.states, nows, strict=False):
            state.name = now.name or state.name
            changed |= state.look(now)
        if overs is not None:
            self._ended(overs)
        elif changed and not self.frozen:
            self.mark()
            self.show()
        else:
            self.show_board()
        return changed

    def _ended(self, overs: Sequence[Over]) -> None:
        """On to the review, or away, where that is wanted."""
        self.states = self.states[: max(len(overs), 1)]
        for state, over in zip(self.states, overs, strict=False):
            state.ended(over, self._prover)
            state.name = over.report.target.name if len(overs) > 1 else state.name
        self.live.output.typing = self.frozen = False
        self.over = True
        if self.leaving:
            self.app.exit()
        elif self.prove_at_once:
            self._prove_at_once()
        elif all(over.report.recording.exit_status == 0 or _stopped(over) for over in overs):
            self.place = "review"
        self.mark()
        self.show()

    def _prove_at_once(self) -> None:
        self.place = "proof"
        self.proof.show(self._shown)
        if self.proof.can_start:
            self.action_prove()

    def _begin(self, columns: int, rows: int) -> None:
        if self.source is not None:
            self._started = True
            self.source.start(columns, rows)

    def on_output_typed(self, event: Output.Typed) -> None:
        """Keys for the target."""
        if self.source is not None and not self.over:
            self.source.type(event.data)

    def on_output_room(self, event: Output.Room) -> None:
        """The target starts when it is known how much room it has."""
        if self.source is None or self.over:
            return
        if self._started:
            self.source.resize(event.columns, event.rows)
        else:
            self.call_after_refresh(self._begin_in_pane)

    def _begin_in_pane(self) -> None:
        """The panes have found their places."""
        if not self._started:
            screen = self.live.output.terminal.screen
            self._begin(screen.columns, screen.lines)

    # ------------------------------------------------------------------------------ palette

    def offers(self) -> Iterator[SystemCommand]:
        """All actions that would do something now, and every format."""
        for name, action, said in COMMANDS:
            _, verb, parameters = parse(action)
            if self.check_action(verb, parameters):
                yield SystemCommand(name, said, partial(self.run_action, action))
        if self.choice is not None:
            for name in ON_TERMINAL:
                use = partial(self.use_format, name)
                yield SystemCommand(f"snippet: {name}", "Show it in this language", use)


def _stopped(over: Over) -> bool:
    """Whether we or the user ended it."""
    return over.report.recording.interrupted or over.check_passed is True
