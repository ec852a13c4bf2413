"""The Proof tab: the trials as they end, the differences that each made, and why one failed."""

from collections.abc import Callable
from dataclasses import dataclass

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.events import Resize
from textual.message import Message
from textual.reactive import reactive
from textual.widgets import Button, Input, OptionList, Static
from textual.widgets.option_list import Option

from capadvise.judgement.conclusion import Conclusion, PassedSet, Standing, check_proposal, held_in
from capadvise.judgement.proven import Interrupted, Proven, Trial
from capadvise.judgement.report import Report
from capadvise.model.caps import CapSet
from capadvise.model.companion import Companion
from capadvise.model.errors import CapadviseError
from capadvise.model.escape import printable
from capadvise.model.wording import counted, set_text
from capadvise.proof.plan import fewest
from capadvise.report.lamps import score_of
from capadvise.report.words import passed_text
from capadvise.tui.choice import Choice, brief
from capadvise.tui.look import status_text
from capadvise.tui.page import Page, Wrapped
from capadvise.tui.tab import MainTab, Opened, Shown
from capadvise.tui.widgets import KeyedList, KeyedScroll
from capadvise.workflow.protocols import Prover

_BLOCKS = " ▏▎▍▌▋▊▉█"


def tried(
    caps: CapSet, trials: list[Trial], recommended: CapSet, beside: tuple[Companion, ...] = ()
) -> str:
    """The name of a trial of a set. ``trials``: those before it; the first one had everything."""
    if beside:
        what = tried(caps, trials, recommended)
        removed = what.removeprefix("without ")
        kinds = ", ".join(one.kind.name.lower() for one in beside)
        if beside[0].is_flag:
            return f"with {kinds}" if caps == recommended else f"{what}, with {kinds}"
        return f"{what} and {kinds}" if removed == what else f"{kinds} for {removed}"
    if not trials or caps == trials[0].caps:
        return "everything"
    if not caps:
        return "none"
    return "recommended set" if caps == recommended else _compared(caps, trials, recommended)


def _compared(caps: CapSet, trials: list[Trial], recommended: CapSet) -> str:
    passed = [trial.caps for trial in trials[1:] if trial.passed]
    for larger in (*reversed(passed), recommended):
        if caps < larger and len(larger - caps) == 1:
            return f"without {set_text(larger - caps)}"
    if caps > recommended and len(caps - recommended) == 1:
        return f"with {set_text(caps - recommended)} too"
    return f"{len(caps)} capabilit{'y' if len(caps) == 1 else 'ies'}"


def about(trial: Trial, before: list[Trial], recommended: CapSet) -> str:
    """The name of a trial that has ended."""
    what = tried(trial.caps, before, recommended, trial.beside)
    if trial.without is not None and not trial.beside:
        name = trial.without.short
        others = printable("+".join(trial.instead))
        what = f"{others} for {name}" if others else f"without {name}"
    return f"{what}, again" if trial.repeat else what


@dataclass(frozen=True, slots=True)
class TrialProgress:
    """How far a search has come."""

    done: int
    total: int
    """The least number of trials."""
    left: float | None
    """The estimated seconds."""

    def bar(self, width: int) -> str:
        """A bar of so many cells."""
        eighths = round(8 * width * self.done / max(self.total, self.done + 1))
        full, part = divmod(eighths, 8)
        return f"{'█' * full}{_BLOCKS[part] if full < width else ''}".ljust(width, "░")[:width]

    def __str__(self) -> str:
        about_left = "" if self.left is None else f", about {self.left:.0f} s left"
        return f"{self.done} of at least {self.total} trials{about_left}"


def progress(trials: list[Trial], recommended: CapSet) -> TrialProgress:
    """How far the search is with these trials."""
    total = max(fewest(recommended), len(trials) + 1)
    if not trials:
        return TrialProgress(0, total, None)
    mean = sum(trial.seconds for trial in trials) / len(trials)
    return TrialProgress(len(trials), total, mean * (total - len(trials)))


_FAILURE = "failure"
_NAMED = 2
"""Trials side by side that are named."""
_NAME_COLUMNS = 27
"""Room for the name of a trial in its row; below, a highlighted one has all of it."""
_NO_CHECK = "a shell command, such as: systemctl is-active web"
CHECK_LABEL = "Shell command that succeeds when the program works:"


class ProofTab(MainTab):
    """The Proof tab. Trials run in a thread, which posts messages."""

    FOCUS = "#trials"

    @dataclass
    class TrialStarted(Message):
        """A trial of a set has begun."""

        caps: CapSet
        beside: tuple[Companion, ...] = ()

        @property
        def held(self) -> PassedSet:
            """The set of the trial."""
            return PassedSet(self.caps, tuple(one.words for one in self.beside))

    @dataclass
    class TrialEnded(Message):
        """A trial has ended."""

        trial: Trial

    @dataclass
    class HealthCheck(Message):
        """The user has entered a health check, and wants the trials."""

        report: Report

    @dataclass
    class ProofEnded(Message):
        """Trials have ended, with a report or an error."""

        report: Report | None
        error: str | None = None

    running: reactive[bool] = reactive(False, init=False)

    def __init__(self, name: str, opened: Opened) -> None:
        super().__init__(name, opened)
        self.trials: list[Trial] = []
        self.wants_check = False
        """Trials can be made once there is a health check."""
        self.failure: str | None = None
        """Why the last trials could not be made: it stays until there are others."""
        self._choice: Choice | None = None
        self._reported: Conclusion | None = None
        self._prover: Prover | None = None
        self._obstacle: str | None = "no run was recorded"
        self._looked_for: object = None
        self._searching = False
        self._begun: list[ProofTab.TrialStarted] = []
        """The trials that have begun and not ended. One that is given up never ends."""

    def compose(self) -> ComposeResult:
        yield Static(id="proof-sum", markup=False)
        with Vertical(id="check-form"):
            yield Static(CHECK_LABEL, id="check-label", markup=False)
            yield Input(placeholder=_NO_CHECK, id="check", compact=True)
            yield Static(id="check-note", markup=False)
            yield Button("Start the trials", id="check-start", variant="primary", compact=True)
        yield KeyedList(id="trials", markup=False)
        with KeyedScroll(id="trial"):
            yield Static(id="trial-text", markup=False)

    def on_mount(self) -> None:
        self.query_one("#trials").border_title = "Trials"
        self.query_one("#trial").border_title = "What differed"
        self.query_one("#trial").display = False
        self.query_one("#check-form").display = False
        self.query_one("#check-start").display = False

    def on_resize(self, event: Resize) -> None:
        self.set_class(event.size.height < 16, "low")

    def show(self, shown: Shown) -> None:
        """Show the trials of the report, unless others are running."""
        state = shown.state
        choice, self._prover, self._reported = state.choice, state.prover, state.reported
        before, self._choice = self._choice, choice
        if choice is None:
            self._sum()
            return
        if self._looked_for is not choice.report and not self.running:
            self._looked_for = choice.report
            self._look(choice.report)
            self._fill(choice.report.proven.trials if choice.report.proven else ())
        if before is None or before.held != choice.held or self.running:
            self._sum()

    def _look(self, report: Report) -> None:
        """Ask the prover if trials of this report are possible."""
        prover = self._prover
        self._obstacle = prover.obstacle(report) if prover else "there is no report file"
        self.wants_check = bool(prover and self._obstacle and prover.wants_check(report))
        form, field = self.query_one("#check-form"), self.query_one("#check", Input)
        form.display = self.wants_check
        if self.wants_check and not field.value:
            field.value = check_proposal(report)
            self._note("Enter shows what will run. Nothing runs before you confirm it.")

    def _note(self, text: str) -> None:
        self.query_one("#check-note", Static).update(Content.styled(text, "dim"))

    def _fill(self, trials: tuple[Trial, ...] | list[Trial]) -> None:
        table = self.query_one("#trials", OptionList)
        before = table.highlighted
        self.trials = list(trials)
        options = [self._option(number) for number in range(len(self.trials))]
        if self.failure is not None:
            text = printable(self.failure.splitlines()[0])
            head = Content.assemble(("✗ not proven  ", "bold $text-error"), text)
            options.insert(0, Option(head.truncate(200, ellipsis=True), id=_FAILURE))
        table.set_options(options)
        last = len(options) - 1
        table.highlighted = None if not options else min(before or 0, last)
        self._sum()
        self.draw()

    def _option(self, number: int) -> Option:
        trial, before = self.trials[number], self.trials[:number]
        assert self._choice is not None
        what = about(trial, before, self._choice.report.proposal.recommended)
        return Option(TrialLine(number + 1, what, trial))

    # ---------------------------------------------------------------------------- the trials

    @property
    def can_start(self) -> bool:
        """True if trials are possible, and none are running."""
        return self._prover is not None and not self.running and self._obstacle is None

    @property
    def can_tell(self) -> bool:
        """True if ``prove`` leads to trials, or to the reason why there can be none."""
        return self._prover is not None and not self.running

    @on(Input.Submitted, "#check")
    def _typed(self, event: Input.Submitted) -> None:
        """Show what would run, before it does."""
        check = event.value.strip()
        start = self.query_one("#check-start", Button)
        start.display = bool(check)
        if check:
            self._note("It runs as root, in a shell, while trials run or after them.")
            start.focus()
        else:
            self._note(
                "Type a command first: without one, a trial cannot tell success from failure."
            )

    @on(Input.Changed, "#check")
    def _edited(self) -> None:
        self.query_one("#check-start").display = False

    @on(Button.Pressed, "#check-start")
    def _confirmed(self) -> None:
        check = self.query_one("#check", Input).value.strip()
        if self._prover is not None and self._choice is not None and check:
            report = self._prover.with_check(self._choice.report, check)
            self.post_message(self.HealthCheck(report))

    def prove(self) -> None:
        prover, choice = self._prover, self._choice
        if prover is not None and choice is not None:
            self._searching = True
            self._run(lambda: prover.prove(choice.report, self._started, self._ended), [])

    def try_chosen(self) -> None:
        """One trial of the chosen set."""
        prover, choice = self._prover, self._choice
        if prover is not None and choice is not None:
            self._searching = False
            chosen = choice.held
            self._run(
                lambda: prover.try_set(choice.report, chosen, self._started, self._ended),
                self.trials,
            )

    def stop(self) -> None:
        if self._prover is not None and self.running:
            self._prover.stop()

    def _run(self, run: Callable[[], Report], trials: list[Trial]) -> None:
        def work() -> None:
            try:
                done = self.ProofEnded(run())
            except Interrupted:
                done = self.ProofEnded(None, "stopped before the first trial ended")
            except CapadviseError as error:
                hint = f"\n{error.hint}" if error.hint else ""
                done = self.ProofEnded(None, f"{error}{hint}")
            self.post_message(done)

        self.running, self.failure = True, None
        self._fill(trials)
        self.run_worker(work, thread=True, group="trials")

    def _started(self, caps: CapSet, beside: tuple[Companion, ...]) -> None:
        self.post_message(self.TrialStarted(caps, beside))

    def _ended(self, trial: Trial) -> None:
        self.post_message(self.TrialEnded(trial))

    def on_proof_tab_trial_started(self, event: TrialStarted) -> None:
        self._begun.append(event)
        self._sum()

    def on_proof_tab_trial_ended(self, event: TrialEnded) -> None:
        """Add a row; the highlight follows unless the user has moved it."""
        table = self.query_one("#trials", OptionList)
        follows = table.highlighted in (None, len(self.trials) - 1)
        held_then = held_in(event.trial)
        ended = [one for one in self._begun if one.held == held_then][:1]
        self._begun = [one for one in self._begun if one not in ended]
        self.trials.append(event.trial)
        table.add_option(self._option(len(self.trials) - 1))
        if follows:
            table.highlighted = len(self.trials) - 1
        self._sum()

    def on_proof_tab_proof_ended(self, event: ProofEnded) -> None:
        """Show the result; an error stays until the next trials."""
        self.running, self._begun = False, []
        self.failure = event.error
        if event.error is not None:
            self._fill(self.trials)
            self.query_one("#trials", OptionList).highlighted = 0
        self._sum()

    # ------------------------------------------------------------------------- what is shown

    def _sum(self) -> None:
        self.query_one("#proof-sum", Static).update(self._sentence())

    def _sentence(self) -> Page:
        page, choice = Page(), self._choice
        if choice is None:
            page.say("The proof follows when it has ended.")
        elif self.running:
            self._say_running(page, choice)
        else:
            if choice.report.proven is not None and self._reported is not None:
                _say_proven(page, choice.report.proven, choice.report, self._reported)
            self._say_possible(page, choice.report)
        return page

    def _say_possible(self, page: Page, report: Report) -> None:
        again = " again" if report.proven is not None else ""
        reported = None if again else self._reported
        if reported is not None and reported.standing is not Standing.RECORDED:
            page.say(Content.assemble(status_text(score_of(reported)), "."))
        if self.wants_check:
            page.say(
                f"To prove it{again}, trials need a health check, which tells whether it works."
            )
        elif self._obstacle is not None:
            style = "dim" if again else "bold $text-error"
            head = Content.styled(f"Cannot prove{again}: ", style)
            page.say(Content.assemble(head, (printable(self._obstacle), "dim" if again else "")))
        elif not again:
            page.say(
                "Not tested yet. p runs the command again and again with fewer capabilities, "
                "isolated from the system, until it knows the smallest set that works."
            )

    def _say_running(self, page: Page, choice: Choice) -> None:
        recommended = choice.report.proposal.recommended
        names = [
            tried(one.caps, self.trials, recommended, one.beside) for one in self._begun[-_NAMED:]
        ]
        what = ", ".join(names) or "…"
        if not self._searching:
            page.say(Content.assemble(("Testing your set: ", "bold $text-warning"), what))
            return
        far = progress(self.trials, recommended)
        page.say(
            Content.assemble(
                (far.bar(24), "$text-accent"),
                ("  ", ""),
                (f"{far}. ", "bold $text-warning"),
                f"Begun: {what}",
            )
        )

    @on(OptionList.OptionHighlighted, "#trials")
    def draw(self) -> None:
        option = self.query_one("#trials", OptionList).highlighted_option
        text, page = self.query_one("#trial-text", Static), Page()
        box = self.query_one("#trial")
        box.display = option is not None
        if option is not None and option.id == _FAILURE:
            box.border_title = "Why"
            for line in (self.failure or "").splitlines():
                page.say(printable(line))
        elif option is not None and self._choice is not None:
            box.border_title = "What differed"
            index = self.query_one("#trials", OptionList).highlighted or 0
            self._say_trial(page, index - (self.failure is not None))
        text.update(page)

    def _say_trial(self, page: Page, row: int) -> None:
        assert self._choice is not None
        if not 0 <= row < len(self.trials):
            return
        trial = self.trials[row]
        what = about(trial, self.trials[:row], self._choice.report.proposal.recommended)
        result = "passes" if trial.passed else "fails"
        page.say(f"Trial {row + 1}, {what}: it {result} after {trial.seconds:.1f} s.")
        whole = trial.caps == self.trials[0].caps
        had = f"all {len(trial.caps)}" if whole else set_text(trial.caps)
        also = ", ".join(printable(one.words) for one in trial.beside)
        page.say(Content.assemble(("It had: ", "dim"), f"{had}, and {also}" if also else had))
        for text in trial.differences:
            first, *more = text.rstrip().split("\n")
            page.bullet(printable(first))
            for line in more:
                page.say(Content.styled(f"  {printable(line)}", "dim"))
        if trial.passed and not trial.differences and row:
            page.say("Nothing differed from the run with everything.")


class TrialLine(Wrapped):
    """One trial as a row: its subject, its result, the differences."""

    def __init__(self, number: int, what: str, trial: Trial) -> None:
        self._number, self._what, self._trial = number, what, trial

    def lines(self, width: int) -> list[Content]:
        passed = self._trial.passed
        word, style = ("✓ passes", "$text-success") if passed else ("✗ fails", "$text-error")
        name = (
            self._what
            if len(self._what) <= _NAME_COLUMNS
            else f"{self._what[: _NAME_COLUMNS - 1]}…"
        )
        text = Content.assemble(
            (f"{self._number:2}  ", "dim"),
            f"{name:{_NAME_COLUMNS}} ",
            (f"{word:8}", style),
            f"{self._trial.seconds:6.1f} s  ",
            (brief(self._trial), "dim"),
        )
        return [text.truncate(width, ellipsis=True)]


def _say_proven(page: Page, proven: Proven, report: Report, reported: Conclusion) -> None:
    trials = f"{counted(len(proven.trials), 'trial')}, isolation: {proven.isolation}"
    minimal = reported.minimal
    if minimal is None:
        contradicted = reported.standing is Standing.CONTRADICTED
        head = "✗ Contradicted: " if contradicted else "✗ Not proven: "
        why = f"{printable(reported.doubt or 'the trials did not finish')}."
        page.say(Content.assemble((head, "bold $text-error"), why))
        if not proven.complete:
            page.say("p starts again.")
    else:
        _say_minimal(page, minimal, report, reported)
    page.say(Content.styled(f"{trials[:1].upper()}{trials[1:]}.", "dim"))


def _say_minimal(page: Page, minimal: CapSet, report: Report, reported: Conclusion) -> None:
    said = "it works without any capability."
    if len(minimal) == 1:
        said = f"it works with {set_text(minimal)}, and fails without it."
    elif minimal:
        said = (
            f"it works with {set_text(minimal)} ({len(minimal)}), and fails without any one of "
            "them."
        )
    page.say(Content.assemble(("✓ Proven minimal: ", "bold $text-success"), said))
    kept = report.proposal.recommended - minimal
    if kept:
        page.say(f"Recommended too: {set_text(kept)} (it works without, and loses something).")
    if reported.standing is Standing.CONTRADICTED:
        why = printable(reported.doubt or "a trial of it failed")
        page.say(Content.assemble(("✗ Recommended set: ", "bold $text-error"), f"{why}."))
    if reported.also_passed:
        page.say(f"Also passed: {passed_text(reported.also_passed[0])}. t chooses it.")
