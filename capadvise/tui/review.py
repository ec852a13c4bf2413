"""The review: what a report says, the user's choice, proof, risk and the way into a file.

A view: it shows values and returns values, and has others (``protocols``) run trials.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult, SystemCommand
from textual.binding import Binding
from textual.events import Resize
from textual.reactive import reactive
from textual.widgets import ContentSwitcher, Input

from capadvise.catalog import Catalog
from capadvise.formats import FORMATS
from capadvise.report.escape import printable
from capadvise.report.model import Report
from capadvise.tui.app import View
from capadvise.tui.choice import Choice
from capadvise.tui.keys import Keys
from capadvise.tui.palette import COMMANDS
from capadvise.tui.panes import Review
from capadvise.tui.proof import ProofTab
from capadvise.tui.protocols import Prover
from capadvise.tui.risk import RiskTab
from capadvise.tui.save import Save
from capadvise.tui.saving import rendered
from capadvise.tui.top import Top
from capadvise.tui.why import Uses

PLACES = ("review", "proof", "risk")


class ReviewView(View):
    """All screens on one report. ``report`` is the newest one, with the proof if there is one."""

    OFFERS = COMMANDS
    BINDINGS: ClassVar = [
        Binding("space", "keep", "Keep/drop", tooltip="Keep or drop the capability", id="keep"),
        Binding("z", "reset", "Undo", tooltip="Take back all changes by hand", id="reset"),
        Binding("t", "base", "Set", tooltip="Recommended set or floor", id="base"),
        Binding("f", "format", "Format", tooltip="The next configuration language", id="format"),
        Binding("v", "view", "View", tooltip="Why, evidence or snippet", id="view"),
        Binding("p", "prove", "Prove", tooltip="Run it with less, again and again", id="prove"),
        Binding("y", "try", "Try", tooltip="One trial of the chosen set", id="try"),
        Binding("x", "stop", "Stop", tooltip="End the trials, keep the best set", id="stop"),
        Binding("s", "save", "Save", tooltip="Into a file, or copy", id="save"),
        Binding("c", "copy", "Copy", tooltip="The snippet to the clipboard", show=False, id="copy"),
        Binding(
            *("slash", "search", "Search"),
            tooltip="Find one",
            show=False,
            id="search",
            priority=True,  # done before the next key is looked at: that one is searched for
        ),
        Binding("u", "fold", "Never asked", tooltip="Show or hide", show=False, id="fold"),
        Binding("escape", "leave_field", "Back", id="leave-field"),
        Binding("0", "go('live')", "Live", show=False, id="go-live"),
        Binding("1", "go('review')", "Review", show=False, id="go-review"),
        Binding("2", "go('proof')", "Proof", show=False, id="go-proof"),
        Binding("3", "go('risk')", "Risk", show=False, id="go-risk"),
    ]
    choice: reactive[Choice] = reactive(lambda: None, init=False, bindings=True)  # type: ignore[arg-type,return-value]
    format_name = reactive("compose", init=False)
    place = reactive("review", init=False, bindings=True)

    def __init__(
        self,
        report: Report,
        catalog: Catalog,
        path: Path,
        *,
        prover: Prover | None = None,
        prove: bool = False,
        live: bool = False,
    ) -> None:
        """``prove``: search for the floor at once, if that can be done. ``live``: the screen of the
        recording lies below."""
        super().__init__()
        self.catalog = catalog
        self.path = path
        self._prover = prover
        self._prove = prove
        self._live = live
        self.set_reactive(ReviewView.choice, Choice(report))

    @property
    def report(self) -> Report:
        """The newest report, with the proof where there is one."""
        return self.choice.report

    def compose(self) -> ComposeResult:
        uses = Uses(self.catalog)
        yield Top(self.report, PLACES, live=self._live)
        with ContentSwitcher(initial="review"):
            yield Review(self.choice, self.catalog, uses)
            yield ProofTab(self.choice, self._prover)
            yield RiskTab(self.choice, self.catalog, uses)
        yield Keys()

    def on_mount(self) -> None:
        """Where to begin."""
        self.watch_place(self.place)
        if self._prove and self.proof.can_start:
            self.action_prove()

    def leave(self, code: int = 0) -> None:
        """No trial goes on behind the user's back."""
        self.proof.stop()
        super().leave(code)

    @property
    def review(self) -> Review:
        """The first screen."""
        return self.query_one(Review)

    @property
    def proof(self) -> ProofTab:
        """The second one."""
        return self.query_one(ProofTab)

    # ------------------------------------------------------------------------ state to screen

    def watch_choice(self, choice: Choice) -> None:
        """Hand the choice down."""
        self.review.choice = choice
        self.proof.choice = choice
        self.query_one(RiskTab).choice = choice

    def watch_format_name(self, name: str) -> None:
        """Hand the format down."""
        self.review.format_name = name

    def watch_place(self, place: str) -> None:
        """Another screen, and the focus on its list."""
        trials = "#check" if self.proof.wants_check else "#trials"
        focused = {"review": "#caps", "proof": trials, "risk": "#risk-caps"}[place]
        with self.app.batch_update():  # drawn once, not for each of these
            self.query_one(ContentSwitcher).current = place
            self.query_one(Top).mark(place)
            self.query_one(focused).focus()

    def on_resize(self, event: Resize) -> None:
        """Which keys do something depends on the room."""
        self.call_after_refresh(self.refresh_bindings)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hide the keys that would do nothing."""
        choice, there = self.choice, self.place == "review"
        match action:
            case "go":
                return self._live or parameters != ("live",)
            case "search":
                return there and not isinstance(self.focused, Input)
            case "keep" | "format" | "fold":
                return there
            case "view":
                return there and self.review.has_class("narrow")
            case "leave_field":
                return (there and self.review.searching) or isinstance(self.focused, Input)
            case "reset":
                return bool(choice.toggled)
            case "base":
                return choice.report.proposal.floor is not None
            case "prove":
                return self.proof.can_start or self.proof.wants_check
            case "try":
                return self.proof.can_start and choice.trial() is None
            case "stop":
                return self.proof.running
        return True

    # ---------------------------------------------------------------------- what the keys do

    def action_go(self, place: str) -> None:
        """Another screen."""
        if place == "live":
            self.app.pop_screen()
        else:
            self.place = place

    def action_keep(self) -> None:
        """Keep or drop the highlighted capability."""
        if (cap := self.review.caps.selected) is not None:
            self.choice = self.choice.toggle(cap)

    def action_reset(self) -> None:
        """Take back all changes."""
        self.choice = replace(self.choice, toggled=frozenset())

    def action_base(self) -> None:
        """The other set of the report."""
        self.choice = self.choice.other_base()

    def action_format(self) -> None:
        """The next language."""
        names = list(FORMATS)
        self.format_name = names[(names.index(self.format_name) + 1) % len(names)]

    def action_view(self) -> None:
        """The next pane."""
        self.review.next_view()

    def action_fold(self) -> None:
        """Show or hide what was never asked for."""
        self.review.fold()

    def action_search(self) -> None:
        """Open the search."""
        self.review.search()
        self.refresh_bindings()

    def action_leave_field(self) -> None:
        """Out of the field that takes all keys; the search is closed."""
        if self.place == "review":
            self.review.end_search()
        else:
            self.query_one("#trials").focus()
        self.refresh_bindings()

    def action_save(self) -> None:
        """Ask where to; nothing is written before."""

        def saved(said: str | None) -> None:
            if said is not None:
                self.notify(printable(said), title="Saved", markup=False)

        self.app.push_screen(Save(self.choice, self.format_name, self.catalog), saved)

    def action_copy(self) -> None:
        """The snippet to the terminal's clipboard."""
        self.app.copy_to_clipboard(rendered(self.choice, self.format_name, self.catalog))
        self.notify("copied, where the terminal allows it (OSC 52)", title=self.format_name)

    # ------------------------------------------------------------------------------ palette

    def offers(self) -> Iterator[SystemCommand]:
        """The actions, and every format."""
        yield from super().offers()
        for name in FORMATS:
            yield SystemCommand(
                f"format: {name}", "Show the snippet in it", partial(self._format, name)
            )

    def _format(self, name: str) -> None:
        self.place = "review"
        self.format_name = name

    # -------------------------------------------------------------------------------- trials

    def action_prove(self) -> None:
        """Search for the floor."""
        self.place = "proof"
        if self.proof.wants_check:
            self.query_one("#check").focus()
        else:
            self.proof.prove()

    def on_proof_tab_checked(self, event: ProofTab.Checked) -> None:
        """It is known now what shows that it works."""
        self.choice = self.choice.of(event.report)
        self.query_one("#trials").focus()
        if self.proof.can_start:
            self.action_prove()

    def action_try(self) -> None:
        """One trial of the chosen set."""
        self.place = "proof"
        self.proof.try_chosen()

    def action_stop(self) -> None:
        """End the trials."""
        self.proof.stop()

    def on_proof_tab_changed(self, event: ProofTab.Changed) -> None:
        """Trials began or ended; what they gave flows back into the review."""
        self.refresh_bindings()
        if event.report is not None:
            self.choice = self.choice.of(event.report)
            self.notify(f"saved in {printable(str(self.path))}", title="Trials done", markup=False)
