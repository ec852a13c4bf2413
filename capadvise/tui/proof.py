"""The proof screen: trials as they come in, and what each removal loses."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.events import Resize
from textual.reactive import reactive
from textual.widgets import DataTable, Static

from capadvise.caps import CapSet
from capadvise.prove import Trial
from capadvise.report.escape import printable
from capadvise.report.text import proof_lines, set_text, trial_name
from capadvise.tui.choice import Choice
from capadvise.tui.look import Page


class Proof(Vertical):
    """The screen. ``choice``, ``trials`` and ``running`` are set from outside."""

    choice: reactive[Choice] = reactive(lambda: None, init=False)  # type: ignore[arg-type,return-value]
    running: reactive[CapSet | None] = reactive(None, init=False)
    """The set of the trial that is under way."""
    obstacle: reactive[str | None] = reactive(None, init=False)
    """Why no trial can be made."""

    def __init__(self, choice: Choice) -> None:
        super().__init__(id="proof")
        self.set_reactive(Proof.choice, choice)
        self.trials: list[Trial] = []
        self.searching = False

    def compose(self) -> ComposeResult:
        yield Static(id="proof-sum", markup=False)
        yield DataTable(id="trials", cursor_type="row", zebra_stripes=True)
        with VerticalScroll(id="trial", can_focus=True):
            yield Static(id="trial-text", markup=False)

    def on_mount(self) -> None:
        """Columns, and a first drawing."""
        table = self.query_one(DataTable)
        table.border_title = "Trials"
        self.query_one("#trial").border_title = "What differed"
        for name, width in (("#", 3), ("Trial", 30), ("Result", 8), ("Seconds", 7)):
            table.add_column(name, key=name, width=width)
        table.add_column("What differed from the run with everything", key="lost")
        self.watch_choice(self.choice)

    def watch_choice(self, choice: Choice) -> None:
        """The trials that the report holds, where none are under way."""
        proven = choice.report.proven
        if self.running is None:
            self.show(proven.trials if proven else ())

    def show(self, trials: tuple[Trial, ...]) -> None:
        """Show these trials instead of what there was."""
        self.trials = []
        self.query_one(DataTable).clear()
        for trial in trials:
            self.add(trial)
        self._sum()

    def add(self, trial: Trial) -> None:
        """One more trial has ended."""
        self.trials.append(trial)
        lost = "; ".join(map(printable, trial.differences))
        good = trial.passed
        self.query_one(DataTable).add_row(
            str(len(self.trials)),
            Content(self._about(trial)),
            Content.styled(
                "✓ passes" if good else "✗ fails", f"$text-{'success' if good else 'error'}"
            ),
            Content(f"{trial.seconds:7.1f}"),
            Content.styled(lost[:200], "dim"),
        )
        self._sum()

    def _about(self, trial: Trial) -> str:
        return trial_name(trial, self.trials[0].caps)

    def begin(self, *, searching: bool) -> None:
        """Trials are about to run; those of a search replace what there was."""
        self.searching = searching
        if searching:
            self.show(())

    def end(self) -> None:
        """No trial is under way any more."""
        self.running = None

    def watch_running(self) -> None:
        """Another trial is under way, or none."""
        self._sum()

    def watch_obstacle(self) -> None:
        """It turned out that no trial can be made."""
        self._sum()

    def _sum(self) -> None:
        self.query_one("#proof-sum", Static).update(self._sentence())

    def _sentence(self) -> Content:
        """Where the proof stands."""
        proven = self.choice.report.proven
        if self.running is not None:
            most = 3 + 2 * len(self.choice.report.proposal.recommended)
            bound = f" of at most {most}, if the recommended set works" if self.searching else ""
            everything = self.trials[0].caps if self.trials else self.running
            what = trial_name(Trial(self.running, True, 0.0), everything)
            return Content.assemble(
                ("Running ", "bold $text-warning"), f"trial {len(self.trials) + 1}{bound}: {what} …"
            )
        if self.obstacle is not None:
            return Content.assemble(("Cannot prove: ", "bold $text-error"), self.obstacle)
        if proven is None:
            return Content(
                "Not proven yet. A proof runs the command again and again, with less each time, in "
                "namespaces of its own."
            )
        return Content("\n").join(Content(line) for line in proof_lines(proven))

    @on(DataTable.RowHighlighted)
    def draw(self) -> None:
        """The whole of the highlighted trial."""
        box = self.query_one("#trial")
        row = self.query_one(DataTable).cursor_row
        if not 0 <= row < len(self.trials):
            self.query_one("#trial-text", Static).update("")
            return
        trial = self.trials[row]
        page = Page(box.content_size.width)
        result = "passes" if trial.passed else "fails"
        page.say(f"Trial {row + 1}, {self._about(trial)}: {result} after {trial.seconds:.1f} s.")
        page.say(Content.assemble(("Had: ", "dim"), set_text(trial.caps)))
        for text in trial.differences:
            page.bullet(printable(text))
        if trial.passed and not trial.differences and row:
            page.say("Nothing differed.")
        self.query_one("#trial-text", Static).update(page.content())

    def on_resize(self, event: Resize) -> None:
        """Less air where there is little room."""
        self.set_class(event.size.width < 100, "narrow")
        self.call_after_refresh(self.draw)
