"""The one screen: the tabs, all on one state. A recording flows into its review by itself.

It looks at a recorder (``protocols``) and shows what it saw. Nothing that happens here changes the
recording.
"""

import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import ClassVar, TypeVar

from textual.actions import parse
from textual.app import ComposeResult, SystemCommand
from textual.containers import Vertical
from textual.content import Content
from textual.events import Resize
from textual.message import Message
from textual.reactive import reactive
from textual.screen import Screen
from textual.widgets import ContentSwitcher, Input

from capadvise.catalog import Catalog
from capadvise.config.compose import COMPOSE
from capadvise.judgement.conclusion import Standing
from capadvise.model.caps import Cap
from capadvise.model.errors import CapadviseError
from capadvise.model.escape import printable
from capadvise.report.pages import ON_TERMINAL
from capadvise.tui.capabilities import Capabilities
from capadvise.tui.choice import Choice
from capadvise.tui.dialogs import HelpScreen, OrderScreen
from capadvise.tui.files import might_apply, nearest
from capadvise.tui.header import Board, Lamps, Tabs, doing, next_step, shape_of
from capadvise.tui.livetab import LONGEST, LiveTab
from capadvise.tui.output import Output
from capadvise.tui.palette import BINDINGS, COMMANDS, acts, described
from capadvise.tui.prooftab import ProofTab
from capadvise.tui.reviewtab import ReviewTab
from capadvise.tui.snippets import COPIED, rendered
from capadvise.tui.state import TargetState
from capadvise.tui.tab import MainTab, Opened, Shown
from capadvise.tui.tabs import TABS
from capadvise.tui.widgets import Fitting, KeyedList, Keys, selected_in
from capadvise.workflow.protocols import Confirm, LiveSource, Over, Prover, unconfirmed

_BUSY, _QUIET = 0.1, 0.5
"""The seconds between two looks at a recording that changes, and at one that does not."""


class Begun(Message):
    """The screen is there, and its keys work."""


_Tab = TypeVar("_Tab", bound=MainTab)


class Main(Fitting, Screen[None]):
    """The screen. ``overs``: the recordings that are over already."""

    BINDINGS: ClassVar = list(BINDINGS)
    ALLOW_IN_MAXIMIZED_VIEW = ".-textual-system,#head,#keys"
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
        """``prove``: search for the minimal set at once, if possible."""
        super().__init__()
        self.catalog = catalog
        self.source = source
        self._leaving = False
        self._prove = prove
        self._prover = prover
        self._confirm = confirm
        self._started = False
        self._asleep = False
        self.states = [TargetState(over.report.target.name, catalog) for over in overs]
        self.states = self.states or [TargetState("", catalog)]
        for state, over in zip(self.states, overs, strict=False):
            state.ended(over, prover)
        title = source.argv if source else overs[0].report.target.argv
        self.set_reactive(Main.over, source is None)
        self.set_reactive(Main.place, "live" if source else "review")
        opened = Opened(catalog, title, source)
        self.tabs = {name: entry.load()(name, opened) for name, entry in TABS.items()}
        self.live = self._tab(LiveTab)
        self.review = self._tab(ReviewTab)
        self.proof = self._tab(ProofTab)
        self._title = printable(shlex.join(title)[:LONGEST])

    def _tab(self, kind: type[_Tab]) -> _Tab:
        return next(tab for tab in self.tabs.values() if isinstance(tab, kind))

    def compose(self) -> ComposeResult:
        self.live.lay_out(self.app.size)  # first: the target gets a size once, not twice
        with Vertical(id="head"):
            yield Tabs()
            yield Lamps(shape_of(*self.app.size))  # what is below gets its size once, not twice
        with ContentSwitcher(initial=self.place, id="tabs"):
            yield from self.tabs.values()
        yield Keys()

    def on_mount(self) -> None:
        self.app.app_resume_signal.subscribe(self, self._resumed)
        self.watch_place(self.place)
        if self.source is not None:
            if not self.source.has_terminal:
                self._begin(80, 24)
            self.set_timer(_BUSY, self.look)
        elif self._prove:
            self.call_after_refresh(self._prove_at_once)
        self.post_message(Begun())

    def _resumed(self, _: object) -> None:
        """Draw everything again: after Ctrl-Z and ``fg``, the terminal has lost the screen."""
        self.app.refresh(repaint=True, layout=True)
        self.refresh(repaint=True, layout=True)

    # ------------------------------------------------------------------------------ the state

    @property
    def state(self) -> TargetState:
        return self.states[min(self.current, len(self.states) - 1)]

    @property
    def choice(self) -> Choice | None:
        """The set that the user wants; None before there is a report."""
        return self.state.choice

    def _choose(self, choice: Choice) -> None:
        self.state.choose(choice)
        self.show()

    @property
    def selected(self) -> Cap | None:
        """The highlighted capability of the tab that is shown."""
        return (self.tab if self.tab.LISTS_CAPS else self.review).selected

    @property
    def tab(self) -> MainTab:
        return self.tabs[self.place]

    @property
    def takes_keys(self) -> bool:
        """True while the user types into the target."""
        return self.live.output.typing

    @property
    def running(self) -> bool:
        """True while something is being recorded."""
        return self.source is not None and not self.over

    @property
    def in_field(self) -> bool:
        """True if a field takes all keys, or the search is open."""
        return (self.place == "review" and self.review.searching) or isinstance(self.focused, Input)

    @property
    def language(self) -> str:
        """The configuration language that the user chose, else the target's own."""
        known = self.choice.report.target.language if self.choice is not None else COMPOSE.name
        return self.format_name or known

    # ------------------------------------------------------------------------ state to screen

    def show(self) -> None:
        """Draw the tab that is shown, and the top line and the board over it."""
        with self.app.batch_update():
            if self.place != "proof":
                self.tab.show(self._shown)
            self._show_board()
        if self.place == "proof":
            self._show_proof()
        else:
            self.call_after_refresh(self._show_proof)  # asking what can be proven takes time

    def _show_proof(self) -> None:
        """Trials can be started from every tab."""
        self.proof.show(self._shown)
        self.refresh_bindings()

    @property
    def _shown(self) -> Shown:
        return Shown(self.states, self.states.index(self.state), self.language)

    def _show_board(self) -> None:
        state = self.state
        board = Board(
            state.lamps(),
            state.score(),
            doing(self.source, state, hint=self.place == "live" and self.over, frozen=self.frozen),
            self.selected,
            shape=shape_of(*self.size),
            step=next_step(state, can_prove=self.proof.can_tell, can_apply=might_apply()),
            in_trial=state.trial_caps is not None,
        )
        self.query_one(Lamps).show(board)

    def watch_place(self, place: str) -> None:
        focused = self.tab.FOCUS
        if place == "live" and len(self.states) > 1:
            focused = "#targets"
        with self.app.batch_update():  # drawn once, not for each of these
            self.query_one(ContentSwitcher).current = place
            self._show_top()
            self.query_one(focused).focus()
            self.show()

    def _show_top(self) -> None:
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
        self._show_top()
        self.show()

    def watch_format_name(self) -> None:
        if self.review.has_class("narrow"):
            self.review.view = "snippet"
        self.show()

    def on_resize(self, event: Resize) -> None:
        shape = shape_of(*event.size)
        for name in ("small", "usual"):
            self.query_one("#board").set_class(name == shape, f"-{name}")
        self.call_after_refresh(self.show)
        if not self.live.output.scrollable_content_region:
            self.call_after_refresh(self._begin_in_pane)  # there is no room for an output pane

    # -------------------------------------------------------------------------------- looking

    def look(self) -> None:
        """Show what the recorder has seen since the last look."""
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
            self.action_type()
        self._asleep = wants  # once for each time that it waits: the user can take the keys back
        return bool(data)

    def _look_at(self, source: LiveSource) -> bool:
        try:
            overs = source.over()
        except CapadviseError:
            self.app.exit()  # the owner of the recorder gets the same error, and prints it
            return False
        nows, stopping = source.now(), self.state.now.stopping is not None
        if len(self.states) < len(nows):
            names = [now.name for now in nows[len(self.states) :]]
            self.states += [TargetState(name, self.catalog) for name in names]
            if self.focused is self.live.caps:  # the list of targets has appeared
                self.call_after_refresh(lambda: self.query_one("#targets").focus())
        changed = False
        for state, now in zip(self.states, nows, strict=False):
            state.name = now.name or state.name
            changed |= state.look(now)
        if stopping is not (self.state.now.stopping is not None):
            self.refresh_bindings()  # an idle target changes nothing else, and q kills it now
        if overs is not None:
            self._ended(overs)
        elif changed and not self.frozen:
            self._show_top()
            self.show()
        else:
            self._show_board()
        return changed

    def _ended(self, overs: Sequence[Over]) -> None:
        """Go on to the review, or leave if the user wants to."""
        self.states = self.states[: max(len(overs), 1)]
        for state, over in zip(self.states, overs, strict=False):
            state.ended(over, self._prover)
            state.name = over.report.target.name if len(overs) > 1 else state.name
        self.live.output.typing = self.frozen = False
        self.over = True
        if self._leaving:
            self.app.exit()
        elif self._prove:
            self._prove_at_once()
        elif not any(_failed(state) for state in self.states):
            self.place = "review"
        self._show_top()
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
        if self.source is not None and not self.over:
            self.source.type(event.data)

    def on_output_copy_wanted(self) -> None:
        self.copy_selected()

    def on_output_room(self, event: Output.Room) -> None:
        """The target starts once the size of its terminal is known."""
        if self.source is None or self.over:
            return
        if self._started:
            self.source.resize(event.columns, event.rows)
        else:
            self.call_after_refresh(self._begin_in_pane)

    def _begin_in_pane(self) -> None:
        if not self._started:
            screen = self.live.output.terminal.screen
            self._begin(screen.columns, screen.lines)

    # ------------------------------------------------------------------------------ palette

    def offers(self) -> Iterator[SystemCommand]:
        """The entries of the palette: all actions that would do something now, and every format."""
        for name, action, explanation in COMMANDS:
            _, verb, parameters = parse(action)
            if self.check_action(verb, parameters):
                yield SystemCommand(name, explanation, partial(self.run_action, action))
        if self.choice is not None:
            for name in ON_TERMINAL:
                use = partial(self._use_format, name)
                yield SystemCommand(f"snippet: {name}", "Show it in this language", use)

    # ------------------------------------------------------------------------------ the keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """True if an action would do something now; the keys of the others are hidden."""
        if self.takes_keys:
            return action == "give_back"
        if (action, *parameters) == ("go", "live"):
            return self.source is not None
        return acts(self, action)

    def action_go(self, place: str) -> None:
        self.place = place

    def action_review(self) -> None:
        """Show the review, with the same capability highlighted."""
        cap, self.place = self.live.caps.selected, "review"
        if cap is not None:
            self.review.caps.select(cap)

    def action_lamp(self, number: int) -> None:
        if not self.tab.LISTS_CAPS:
            self.place = "review"
        self.tab.select(Cap(number))
        self._show_board()

    def action_target(self, by: int = 1) -> None:
        self.current = (self.current + by) % len(self.states)

    def action_view(self, by: int = 1) -> None:
        self.review.next_view(by)

    def action_zoom(self) -> None:
        """Let the focused pane fill the screen below the board, or show all again."""
        if self.maximized is not None:
            self.minimize()
        elif self.focused is not None:
            self.maximize(self.focused, container=False)

    def watch_maximized(self) -> None:
        self.refresh_bindings()
        if isinstance(self.focused, KeyedList):
            self.call_after_refresh(self.focused.scroll_to_highlight)

    def action_fold(self) -> None:
        (self.live if self.place == "live" else self.review).caps.fold()

    def action_sort(self) -> None:
        order = self.review.caps.order.following
        self.live.caps.sort(order)
        self.review.caps.sort(order)
        self.query_one("#left").border_subtitle = f"by {order} · / search"
        self.query_one("#caps-pane").border_subtitle = f"by {order}"

    def action_search(self) -> None:
        self.review.search()
        self.refresh_bindings()

    def action_back(self) -> None:
        """Leave what fills the screen, the search, or a field."""
        if self.maximized is not None:
            self.minimize()
        elif self.place == "review":
            self.review.end_search()
        else:
            self.query_one("#trials").focus()
        self.refresh_bindings()

    def action_help(self) -> None:
        """Show the keys of this tab, and its help."""
        order = [binding.id for binding in BINDINGS]
        ours = [item.binding for item in self.active_bindings.values() if item.binding.id in order]
        keys = [
            (self.app.get_key_display(binding), described(binding))
            for binding in sorted(ours, key=lambda binding: order.index(binding.id))
        ]
        self.app.push_screen(HelpScreen(keys, self.place))

    def action_type(self) -> None:
        """Give the keyboard to the target."""
        self.set_focus(self.live.output)
        self.live.output.typing = True

    def action_give_back(self) -> None:
        """Does nothing: the pane takes the key, and this is its line among the keys."""

    def action_freeze(self) -> None:
        self.frozen = True
        self._show_board()

    def action_thaw(self) -> None:
        self.frozen = False
        self.show()

    def action_stop(self) -> None:
        if self.source is not None:
            self.source.stop()

    def action_kill(self) -> None:
        """The same as ``stop``, under the name that the key has once SIGTERM was sent."""
        self.action_stop()

    def action_interrupt(self) -> None:
        """Copy the selected text; without any, end the target, or leave if it has ended."""
        if self.copy_selected():
            return
        if self.running:
            self.action_stop()
        else:
            self.action_leave()

    def copy_selected(self) -> bool:
        """Copy the selected text, and end the selection; False if nothing is selected."""
        if not self.selections:
            return False
        if text := self.get_selected_text():
            self.app.copy_to_clipboard(text)
            self.notify(f"The selected text is {COPIED}.")
        self.clear_selection()
        return True

    def get_selected_text(self) -> str | None:
        """The selected text; texts that wrap themselves are unknown to Textual."""
        texts = [
            text
            for widget, selection in self.selections.items()
            if widget.is_attached and (text := selected_in(widget, selection))
        ]
        return "\n".join(texts) or None

    def action_leave(self, code: int = 0) -> None:
        """End the target first, then the application."""
        self.proof.stop()
        if not self.running:
            self.app.exit(return_code=code)
        elif not self._leaving:
            self._leaving = True
            self.action_stop()

    # ------------------------------------------------------------------------- the chosen set

    def action_keep(self) -> None:
        if self.choice is not None and self.selected is not None:
            self._choose(self.choice.toggle(self.selected))

    def on_capabilities_marked(self, event: Capabilities.Marked) -> None:
        if self.choice is not None and self.place == "review":
            self._choose(self.choice.toggle(event.cap))

    def action_undo(self) -> None:
        self.state.undo()
        self.show()

    def action_reset(self) -> None:
        """Take back all changes."""
        if self.choice is not None:
            self._choose(replace(self.choice, toggled=frozenset()))

    def action_base(self) -> None:
        """Switch to the next set of the report."""
        if self.choice is not None and self.state.conclusion is not None:
            self._choose(self.choice.following(self.state.conclusion.also_passed))

    def action_format(self, by: int = 1) -> None:
        at = ON_TERMINAL.index(self.language) + by
        self.format_name = ON_TERMINAL[at % len(ON_TERMINAL)]

    def _use_format(self, name: str) -> None:
        self.place = "review"
        self.format_name = name

    def action_save(self) -> None:
        """Ask for the file; nothing is written before the user confirms."""
        self._save(self.language, None)

    def action_apply(self) -> None:
        """Offer to change the file here that the set belongs to; the change is shown first."""
        if self.choice is None:
            return
        here = nearest(self.choice.report.target)
        if here is None:
            self.notify("No compose file, manifest or unit is here. s saves a new one.")
        else:
            path, name = here
            self._save(name, path)

    def _save(self, format_name: str, path: Path | None) -> None:
        from capadvise.tui.save import Save  # with all that changes files: 40 ms

        if self.choice is not None:
            self.app.clear_notifications()  # they would be in its way
            save = Save(self.state, format_name, self._confirm, path=path)
            self.app.push_screen(save, self._saved)

    def action_export(self) -> None:
        """The same, with a page instead of a configuration."""
        self._save("html", None)

    def _saved(self, what: str | None) -> None:
        if what is not None:
            self.state.saved = True
            more = "" if all(state.saved for state in self.states) else " n: the next target."
            self.notify(f"{printable(what)}.{more}", title="Saved", markup=False)

    def action_copy(self) -> None:
        if self.choice is not None:
            self.app.copy_to_clipboard(rendered(self.choice, self.language, self.catalog))
            self.notify(f"The {self.language} snippet is {COPIED}.")

    # ------------------------------------------------------------------------------ the trials

    def action_prove(self) -> None:
        """Search for the minimal set; if that is impossible, the tab says why."""
        self.place = "proof"
        if self.proof.wants_check:
            self.query_one("#check").focus()
        elif self.proof.can_start:
            self._begin_trials(self.proof.prove)
        self.refresh_bindings()

    def action_try(self) -> None:
        """Run one trial of the chosen set."""
        self.place = "proof"
        self._begin_trials(self.proof.try_chosen)
        self.refresh_bindings()

    def _begin_trials(self, begin: Callable[[], None]) -> None:
        """Begin, after the user has seen what a saved report runs, and agreed."""
        choice, prover = self.choice, self.state.prover
        order = () if choice is None or prover is None else prover.order(choice.report)
        if not order or order == self.state.agreed:
            begin()
            return

        def answered(agreed: bool | None) -> None:
            if agreed:
                self.state.agreed = order
                begin()

        self.app.push_screen(OrderScreen(order), answered)

    def action_stop_trials(self) -> None:
        self.proof.stop()

    def on_proof_tab_health_check(self, event: ProofTab.HealthCheck) -> None:
        if self.choice is not None:
            self.state.choice = self.choice.of(event.report)
            self.query_one("#trials").focus()
            self.show()
            if self.proof.can_start:
                self.action_prove()

    def on_proof_tab_trial_started(self, event: ProofTab.TrialStarted) -> None:
        """Switch off the lamps of the capabilities that the trial goes without."""
        self.state.trial_caps = event.caps
        passed = [trial.caps for trial in self.proof.trials if trial.passed]
        self.state.trial_base = min(passed, key=len, default=event.caps)
        self._show_board()

    def on_proof_tab_proof_ended(self, event: ProofTab.ProofEnded) -> None:
        """Take the proof into the review."""
        self.state.trial_caps = None
        if event.report is not None and self.choice is not None:
            self.state.choice = self.choice.of(event.report)
        self.show()

    # ------------------------------------------------------------------------------ the panes

    def on_moved(self) -> None:
        """Mark the lamp of the highlighted capability."""
        self._show_board()

    def on_live_tab_chosen(self) -> None:
        if self.over:
            self.action_review()

    def on_live_tab_service_chosen(self, event: LiveTab.ServiceChosen) -> None:
        if event.number < len(self.states):
            self.current = event.number


def _failed(state: TargetState) -> bool:
    """True for a target that failed by itself: its end stays in sight."""
    over, reported = state.over, state.reported
    if over is None or reported is None:
        return False
    recording = over.report.recording
    stopped = recording.interrupted or over.check_passed is True
    failed = reported.standing in (Standing.RUN_FAILED, Standing.CHECK_FAILED)
    return failed or (recording.exit_status != 0 and not stopped)
