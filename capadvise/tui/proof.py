"""The proof screen: trials as they come in, and what each removal loses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from textual import on
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from capadvise.caps import CapSet
from capadvise.errors import CapadviseError
from capadvise.prove import Interrupted, fewest
from capadvise.proven import Trial
from capadvise.report.escape import printable
from capadvise.report.model import Report
from capadvise.report.text import proof_lines, set_text
from capadvise.tui import help
from capadvise.tui.choice import Choice, brief
from capadvise.tui.fitted import Fitted
from capadvise.tui.keys import KeyedList
from capadvise.tui.look import Page
from capadvise.tui.protocols import Prover


def tried(caps: CapSet, trials: list[Trial], recommended: CapSet) -> str:
    """What a trial of a set is about, in few words. ``trials``: those before it; the first one
    had everything."""
    if not trials or caps == trials[0].caps:
        return "everything"
    if not caps:
        return "nothing"
    if caps == recommended:
        return "recommended set"
    passed = [trial.caps for trial in trials[1:] if trial.passed]
    for larger in (*reversed(passed), recommended):
        if caps < larger and len(larger - caps) == 1:
            return f"without {set_text(larger - caps)}"
    if caps > recommended and len(caps - recommended) == 1:
        return f"with {set_text(caps - recommended)} too"
    return f"{len(caps)} capabilities"


class ProofTab(Fitted):
    """The screen. ``choice`` is set from outside. Trials run in a thread, which posts messages."""

    HELP = help.PROOF

    @dataclass
    class Changed(Message):
        """Trials have begun or ended, with this report where they gave one."""

        report: Report | None = None

    @dataclass
    class TrialStarted(Message):
        """A trial of a set has begun."""

        caps: CapSet

    @dataclass
    class TrialEnded(Message):
        """A trial has ended."""

        trial: Trial

    @dataclass
    class Checked(Message):
        """The user has said what shows that it works."""

        report: Report

    @dataclass
    class Done(Message):
        """All trials that were asked for have ended."""

        report: Report | None
        error: str | None = None

    choice: reactive[Choice] = reactive(lambda: None, init=False)  # type: ignore[arg-type,return-value]
    running: reactive[bool] = reactive(False, init=False)

    def __init__(self, choice: Choice, prover: Prover | None) -> None:
        super().__init__(id="proof")
        self.set_reactive(ProofTab.choice, choice)
        self._prover = prover
        self._obstacle = prover.obstacle(choice.report) if prover else None
        self.wants_check = prover.wants_check(choice.report) if prover else False
        """Trials can be made once the user has said what shows that it works."""
        self.trials: list[Trial] = []
        self.searching = False
        self.now: CapSet | None = None
        """The set of the trial that is under way."""

    def compose(self) -> ComposeResult:
        yield Static(id="proof-sum", markup=False)
        yield Input(placeholder="curl -fs http://localhost/", id="check", compact=True)
        yield KeyedList(id="trials", markup=False)
        with VerticalScroll(id="trial", can_focus=True):
            yield Static(id="trial-text", markup=False)

    def on_mount(self) -> None:
        """Titles, and a first drawing."""
        self.query_one("#trials").border_title = "Trials"
        self.query_one("#trial").border_title = "What differed"
        self.query_one("#check").display = self.wants_check
        self.watch_choice(self.choice)

    def watch_choice(self, choice: Choice) -> None:
        """The trials that the report holds, where none are under way."""
        proven = choice.report.proven
        if not self.running:
            self.show(proven.trials if proven else ())

    def show(self, trials: tuple[Trial, ...]) -> None:
        """Show these trials instead of what there was."""
        self.trials = list(trials)
        self._fill()
        self._sum()

    def add(self, trial: Trial) -> None:
        """One more trial has ended; the highlight follows unless the user has moved it."""
        table = self.query_one("#trials", OptionList)
        follows = table.highlighted in (None, len(self.trials) - 1)
        self.trials.append(trial)
        table.add_option(self._row(len(self.trials) - 1))
        if follows:
            table.highlighted = len(self.trials) - 1
        self._sum()

    def _fill(self) -> None:
        table = self.query_one("#trials", OptionList)
        before = table.highlighted
        table.set_options(self._row(index) for index in range(len(self.trials)))
        table.highlighted = before if before is not None and before < len(self.trials) else 0

    def _row(self, index: int) -> Option:
        trial = self.trials[index]
        word, style = ("✓ passes", "$text-success") if trial.passed else ("✗ fails", "$text-error")
        text = Content.assemble(
            (f"{index + 1:2}  ", "dim"),
            f"{self._about(trial, self.trials[:index]):28}",
            (f"{word:8}", style),
            f"{trial.seconds:6.1f} s  ",
            (brief(trial), "dim"),
        )
        width = self.query_one("#trials").content_size.width - 3  # padding, scrollbar
        return Option(text.truncate(width, ellipsis=True) if width > 40 else text)

    def _about(self, trial: Trial, before: list[Trial]) -> str:
        recommended = self.choice.report.proposal.recommended
        what = tried(trial.caps, before, recommended)
        if trial.without is not None:
            what = f"without {trial.without.short}"
        return f"{what}, again" if trial.repeat else what

    # ---------------------------------------------------------------------------- the trials

    @property
    def can_start(self) -> bool:
        """Whether trials can be made, and none are under way."""
        return self._prover is not None and not self.running and self._obstacle is None

    @on(Input.Submitted, "#check")
    def _checked(self, event: Input.Submitted) -> None:
        """From now on there is a check."""
        prover, check = self._prover, event.value.strip()
        if prover is not None and check:
            report = prover.with_check(self.choice.report, check)
            self._obstacle, self.wants_check = prover.obstacle(report), False
            event.input.display = False
            self.post_message(self.Checked(report))

    def prove(self) -> None:
        """Search for the floor."""
        prover, report = self._prover, self.choice.report
        if prover is not None:
            self.searching = True
            self.show(())
            self._run(lambda: prover.prove(report, self._started, self._ended))

    def try_chosen(self) -> None:
        """One trial of the chosen set."""
        prover, report, caps = self._prover, self.choice.report, self.choice.caps
        if prover is not None:
            self.searching = False
            self._run(lambda: prover.try_set(report, caps, self._started, self._ended))

    def stop(self) -> None:
        """End the trials under way."""
        if self._prover is not None and self.running:
            self._prover.stop()

    def _run(self, trials: Callable[[], Report]) -> None:
        def work() -> None:
            try:
                done = self.Done(trials())
            except Interrupted:
                done = self.Done(None, "stopped before the first trial ended")
            except CapadviseError as error:
                done = self.Done(None, str(error))
            self.post_message(done)

        self.running = True
        self.post_message(self.Changed())
        self.run_worker(work, thread=True, group="trials")

    def _started(self, caps: CapSet) -> None:
        self.post_message(self.TrialStarted(caps))

    def _ended(self, trial: Trial) -> None:
        self.post_message(self.TrialEnded(trial))

    def on_proof_tab_started(self, event: TrialStarted) -> None:
        """Show which set is being tried."""
        self.now = event.caps
        self._sum()

    def on_proof_tab_ended(self, event: TrialEnded) -> None:
        """Show what came of it."""
        self.add(event.trial)

    def on_proof_tab_done(self, event: Done) -> None:
        """Show what stands now; the report goes to who shows this screen."""
        self.running, self.now = False, None
        if event.error is not None:
            self.notify(printable(event.error), title="Not proven", severity="error", markup=False)
            self.watch_choice(self.choice)
        self.post_message(self.Changed(event.report))

    def _sum(self) -> None:
        self.query_one("#proof-sum", Static).update(self._sentence())

    def _sentence(self) -> Content:
        """Where the proof stands."""
        proven = self.choice.report.proven
        if self.now is not None:
            recommended = self.choice.report.proposal.recommended
            bound = f" of {fewest(recommended)} or more" if self.searching else ""
            what = tried(self.now, self.trials, recommended)
            return Content.assemble(
                ("Running ", "bold $text-warning"), f"trial {len(self.trials) + 1}{bound}: {what} …"
            )
        if self.wants_check:
            return Content.assemble(
                ("What shows that it works? ", "bold $text-primary"),
                "A shell command that passes then; it is run while the program runs, or after its "
                "end. With it, trials find the smallest set that works: Enter starts them.",
            )
        if self._obstacle is not None:
            return Content.assemble(
                ("Cannot prove: ", "bold $text-error"), printable(self._obstacle)
            )
        if proven is None:
            return Content(
                "Not proven yet. A proof runs the command again and again, with less each time, in "
                "namespaces of its own: the smallest set that works is the floor."
            )
        return Content("\n").join(Content(line) for line in proof_lines(proven))

    @on(OptionList.OptionHighlighted, "#trials")
    def draw(self) -> None:
        """The whole of the highlighted trial."""
        box = self.query_one("#trial")
        if not self.in_sight(box):
            return
        row = self.query_one("#trials", OptionList).highlighted
        if row is None or row >= len(self.trials):
            self.query_one("#trial-text", Static).update("")
            return
        trial = self.trials[row]
        page = Page(box)
        result = "passes" if trial.passed else "fails"
        what = self._about(trial, self.trials[:row])
        page.say(f"Trial {row + 1}, {what}: it {result} after {trial.seconds:.1f} s.")
        had = set_text(trial.caps) if row else f"all {len(trial.caps)}"
        page.say(Content.assemble(("It had: ", "dim"), had))
        for text in trial.differences:
            first, *more = text.rstrip().split("\n")
            page.bullet(printable(first))
            for line in more:
                page.say(Content.styled(f"  {printable(line)}", "dim"))
        if trial.passed and not trial.differences and row:
            page.say("Nothing differed from the run with everything.")
        self.query_one("#trial-text", Static).update(page.content())

    def draw_all(self) -> None:
        """Rows are cut to the width."""
        self._fill()
        self.draw()
