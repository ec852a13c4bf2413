"""The Risk tab: the attacks that exactly the chosen set allows, and those that each dropped
capability takes away."""

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.events import Resize
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from capadvise.catalog.capabilities import Entry
from capadvise.judgement.report import Report
from capadvise.judgement.risk import Risks, judged_in, remaining, risk_word, worst
from capadvise.model.caps import Cap, CapSet
from capadvise.model.escape import printable
from capadvise.model.wording import set_text
from capadvise.report.explain_report import place_sentences
from capadvise.report.inspection import restraints
from capadvise.report.words import DROP_ALL, no_need
from capadvise.tui.capabilities import cap_of
from capadvise.tui.choice import Choice, Decision, loss
from capadvise.tui.look import DECISION_MARKS, worded_risk
from capadvise.tui.page import Page
from capadvise.tui.state import TargetState
from capadvise.tui.tab import MainTab, Moved, Opened, Shown
from capadvise.tui.why import instead, risk_lines, use_lines
from capadvise.tui.widgets import KeyedList, KeyedScroll

_PLACE = "risk-place"


def by_risk(choice: Choice, risks: Risks) -> list[Cap]:
    """The capabilities of the chosen set and those that the user took out of it, the most dangerous
    first; unknown ones before all."""
    return sorted(choice.caps | choice.start, key=lambda cap: (-int(risks.get(cap) or 9), cap))


class RiskTab(MainTab):
    """The Risk tab."""

    FOCUS = "#risk-caps"
    LISTS_CAPS = True

    def __init__(self, name: str, opened: Opened) -> None:
        super().__init__(name, opened)
        self._state: TargetState | None = None

    def compose(self) -> ComposeResult:
        yield Static(id="risk-sum", markup=False)
        with Horizontal():
            yield KeyedList(id="risk-caps", markup=False)
            with KeyedScroll(id="risk-why"):
                yield Static(id="risk-text", markup=False)

    def on_mount(self) -> None:
        self.query_one("#risk-caps").border_title = "By risk"

    def on_resize(self, event: Resize) -> None:
        self.set_class(event.size.width < 70, "stacked")
        self.set_class(event.size.height < 16, "low")

    @property
    def table(self) -> OptionList:
        return self.query_one("#risk-caps", OptionList)

    @property
    def selected(self) -> Cap | None:
        return cap_of(self.table.highlighted_option)

    def select(self, cap: Cap) -> None:
        ids = [option.id for option in self.table.options]
        if f"cap-{int(cap)}" in ids:
            self.table.highlighted = ids.index(f"cap-{int(cap)}")

    def show(self, shown: Shown) -> None:
        """Draw the list; the text follows the highlight."""
        state = self._state = shown.state
        choice = state.choice
        if choice is None:
            self.query_one("#risk-sum", Static).update("The risks follow when it has ended.")
            return
        before = self.table.highlighted_option.id if self.table.highlighted_option else None
        caps = by_risk(choice, state.risks)
        self.table.set_options(
            [
                *(self._option(choice, cap, state.risks) for cap in caps),
                Option("  Where it ran", id=_PLACE),
            ]
        )
        ids = [option.id for option in self.table.options]
        self.table.highlighted = ids.index(before) if before in ids else 0
        self.query_one("#risk-sum", Static).update(self._sum(state, choice))
        self.draw()

    @staticmethod
    def _option(choice: Choice, cap: Cap, risks: Risks) -> Option:
        mark, style = DECISION_MARKS[choice.decision(cap)]
        gone = cap not in choice.caps
        name = (f"{cap.short:18} ", "strike dim" if gone else "")
        word = risk_word(risks.get(cap))
        risk = Content.styled(word, "strike dim") if gone else worded_risk(word)
        return Option(Content.assemble((f"{mark} ", style), name, risk), id=f"cap-{int(cap)}")

    def _sum(self, state: TargetState, choice: Choice) -> Content:
        """Two sentences on the whole set."""
        risks, conclusion = state.risks, state.conclusion
        assert conclusion is not None
        name = f"{choice.name[:1].upper()}{choice.name[1:]}"
        now, first = worst(choice.caps, risks), worst(choice.start, risks)
        if not conclusion.has_set:
            why = f"Its risk is unknown: {printable(conclusion.standing_words)}."
            head = Content.styled(why, "$text-warning")
            was_seen = f" Needed until then: {set_text(choice.caps)}." if choice.caps else ""
            return Content.assemble(head, was_seen, "\n", (_where(choice.report), "dim"))
        if not choice.caps and no_need(conclusion) == DROP_ALL:
            head = Content(f"{name} is empty: no risk from capabilities is left.")
        elif not choice.caps and choice.toggled:
            why = printable(conclusion.standing_words)
            head = Content(f"{name} is empty: no risk from capabilities is left, but {why}.")
        elif not choice.caps:
            head = Content.styled(f"{name} is empty. {no_need(conclusion)}", "$text-warning")
        else:
            names = ", ".join(
                c.short for c in sorted(choice.caps) if risk_word(risks.get(c)) == now
            )
            head = Content.assemble(f"{name}: the worst risk is ", worded_risk(now), f" ({names}).")
        changes = [
            f"{before} → {left} {word}" if before != left else f"{left} {word}"
            for before, left, word in zip(
                self._attacks(choice.report, choice.start),
                self._attacks(choice.report, choice.caps),
                ("possible", "under a condition"),
                strict=True,
            )
        ]
        was = f", {first} before your changes" if now != first else ""
        return Content.assemble(
            head, was, "\n", (f"Attacks: {', '.join(changes)}. {_where(choice.report)}", "dim")
        )

    def _attacks(self, report: Report, caps: CapSet) -> tuple[int, int]:
        """The number of attacks that are possible with a set where it runs, and of those that
        depend on something."""
        place, _ = judged_in(report)
        entries = [self.catalog.entry(cap) for cap in caps]
        here = [remaining(entry, place) for entry in entries if entry]
        return sum(len(each.possible) for each in here), sum(len(each.depends) for each in here)

    @on(OptionList.OptionHighlighted, "#risk-caps")
    def _highlighted(self) -> None:
        self.query_one("#risk-why", KeyedScroll).scroll_home(animate=False)
        self.draw()
        self.post_message(Moved())

    def draw(self) -> None:
        state = self._state
        if state is None or state.choice is None:
            return
        cap, box = self.selected, self.query_one("#risk-why")
        box.border_title = "What else restrains it" if cap is None else cap.name
        choice = state.choice
        page = self._place(choice.report) if cap is None else self._text(cap, state, choice)
        self.query_one("#risk-text", Static).update(page)

    def _place(self, report: Report) -> Page:
        """The page on the place of the recording: what it allows an attacker, and what it does
        not."""
        page = Page()
        for sentence in place_sentences(report):
            page.say(sentence)
        for heading, lines in restraints(report.posture):
            page.heading(heading)
            for line in lines:
                (page.bullet if line.hangs else page.say)(line.text)
        if settings := sorted(report.posture.sysctls.items()):
            page.heading("Settings")
        for name, value in settings:
            page.bullet(f"{printable(name)} = {printable(value)}")
        return page

    def _text(self, cap: Cap, state: TargetState, choice: Choice) -> Page:
        page, entry = Page(), self.catalog.entry(cap)
        need = choice.report.proposal.need(cap)
        if entry is None:
            page.say("This capability is newer than the catalog: its risk is unknown.")
            return page
        page.say(f"{entry.summary}.")
        gone = choice.decision(cap) is Decision.DROPPED
        if gone:
            page.say(Content.assemble(("− Without it: ", "bold $text-error"), loss(choice, need)))
        risk_lines(page, choice.report, entry, gone=gone)
        uses = state.uses.of(need)
        if entry.uses:
            page.heading("Its uses")
            were = "was" if len(uses) == 1 else "were"
            page.say(f"{len(uses)} of its {len(entry.uses)} uses {were} seen.")
        for use, checks in uses:
            use_lines(page, use, checks)
        if not uses:
            instead(page, entry)
        settings = _settings(entry, choice)
        if settings:
            page.heading("Where it was recorded")
        for name, value in settings:
            page.bullet(f"{name} = {printable(value)}")
        return page


def _where(report: Report) -> str:
    _, where = judged_in(report)
    return f"Judged {where[:1].lower()}{where[1:]}." if where else "Judged where it ran."


def _settings(entry: Entry, choice: Choice) -> list[tuple[str, str]]:
    """The settings of the recorded place that the facts on a capability name."""
    facts = " ".join(
        [entry.risk_reason, *entry.allows]
        + [condition.when for condition in entry.risk_conditions]
        + [way.do for way in entry.remediation]
    )
    posture = choice.report.posture.sysctls
    return [(name, value) for name, value in sorted(posture.items()) if name in facts]
