"""The risk screen: what an attacker could still do with exactly the chosen set."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from capadvise.caps import Cap
from capadvise.catalog import Catalog
from capadvise.catalog.capabilities import Entry, Risk
from capadvise.report.escape import printable
from capadvise.report.explain_facts import POSSIBILITIES, possibilities, remaining
from capadvise.report.explain_place import judged_in, place_sentences
from capadvise.report.inspection import restraints
from capadvise.tui import help
from capadvise.tui.choice import Choice
from capadvise.tui.fitted import Fitted
from capadvise.tui.keys import KeyedList
from capadvise.tui.look import Page, risk_text
from capadvise.tui.why import Uses, use_lines, ways_out

_PLACE = "risk-place"


def by_risk(choice: Choice, catalog: Catalog) -> list[tuple[Risk | None, Cap]]:
    """The chosen capabilities and their risks in that place, the most dangerous first; unknown
    ones before all."""
    place, _ = judged_in(choice.report)
    ranked = []
    for cap in choice.caps:
        entry = catalog.entry(cap)
        ranked.append((remaining(entry, place).risk if entry else None, cap))
    return sorted(ranked, key=lambda item: (-(item[0] or 9), item[1]))


class RiskTab(Fitted):
    """The screen. ``choice`` is set from outside."""

    HELP = help.RISK

    choice: reactive[Choice] = reactive(lambda: None, init=False)  # type: ignore[arg-type,return-value]

    def __init__(self, choice: Choice, catalog: Catalog, uses: Uses) -> None:
        super().__init__(id="risk")
        self.set_reactive(RiskTab.choice, choice)
        self.catalog = catalog
        self.uses = uses

    def compose(self) -> ComposeResult:
        yield Static(id="risk-sum", markup=False)
        with Horizontal():
            yield KeyedList(id="risk-caps", markup=False)
            with VerticalScroll(id="risk-why", can_focus=True):
                yield Static(id="risk-text", markup=False)

    def on_mount(self) -> None:
        """Titles, and a first drawing."""
        self.query_one("#risk-caps").border_title = "By risk"
        self.watch_choice(self.choice)

    def watch_choice(self, choice: Choice) -> None:
        """Draw the list; the text follows the highlight."""
        options, left = self.query_one("#risk-caps", OptionList), by_risk(choice, self.catalog)
        options.set_options(
            [
                *(
                    Option(
                        Content.assemble(f"{cap.short:18}  ", risk_text(str(risk or "") or None)),
                        id=f"risk-{int(cap)}",
                    )
                    for risk, cap in left
                ),
                Option("Where it ran", id=_PLACE),
            ]
        )
        options.highlighted = 0
        self.query_one("#risk-sum", Static).update(self._sum(choice, left))

    def _sum(self, choice: Choice, left: list[tuple[Risk | None, Cap]]) -> Content:
        """One sentence over the whole set."""
        risks = [risk for risk, _ in left]
        if not risks:
            return Content(f"With {choice.name}, no capability is left: there is no risk from any.")
        worst = risks[0]
        names = ", ".join(cap.short for risk, cap in left if risk is worst)
        root = ", as good as root on the host" if worst is Risk.ROOT else ""
        counts = [
            Content.assemble(risk_text(str(level)), f" {risks.count(level)}")
            for level in sorted(Risk, reverse=True)
            if level in risks
        ]
        return Content.assemble(
            f"The worst that remains with {choice.name}: ",
            risk_text(str(worst) if worst else None),
            f" ({names}){root}.\n",
            Content("   ").join(counts),
            (f"   {self._where()}", "dim"),
        )

    def _where(self) -> str:
        """The place that the risks are those of."""
        _, where = judged_in(self.choice.report)
        return f"{where[:1].lower()}{where[1:]}" or "where it ran"

    @on(OptionList.OptionHighlighted, "#risk-caps")
    def draw(self) -> None:
        """The text of the highlighted one."""
        option = self.query_one("#risk-caps", OptionList).highlighted_option
        if option is None or option.id is None:
            return
        box = self.query_one("#risk-why", VerticalScroll)
        if not self.in_sight(box):
            return
        if option.id == _PLACE:
            box.border_title, text = "What else restrained it", self._place(box)
        else:
            cap = Cap(int(option.id.removeprefix("risk-")))
            box.border_title, text = cap.name, self._text(cap, box)
        box.scroll_home(animate=False)
        self.query_one("#risk-text", Static).update(text)

    def _place(self, box: Widget) -> Content:
        """What the place of the recording let an attacker do, and what not."""
        page, report = Page(box), self.choice.report
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
        return page.content()

    def _text(self, cap: Cap, box: Widget) -> Content:
        page = Page(box)
        entry = self.catalog.entry(cap)
        if entry is None:
            return Content("This capability is newer than the catalog: its risk is unknown.")
        page.say(f"{entry.summary}.")
        self._remaining(page, entry)
        need = self.choice.report.proposal.need(cap)
        uses = self.uses.seen(need)
        if entry.uses:
            page.heading("Its uses")
            page.say(f"{len(uses)} of its {len(entry.uses)} uses were seen.")
        for use, asked in uses:
            use_lines(page, use, asked)
        if not uses:
            ways_out(page, entry)
        settings = self._settings(entry)
        if settings:
            page.heading("Where it was recorded")
        for name, value in settings:
            page.bullet(f"{name} = {printable(value)}")
        return page.content()

    def _remaining(self, page: Page, entry: Entry) -> None:
        """The risk where it ran, and what is possible there."""
        place, _ = judged_in(self.choice.report)
        here = remaining(entry, place)
        page.heading("Risk")
        usual = f", usually {entry.risk}" if here.risk is not entry.risk else ""
        page.say(Content.assemble(risk_text(str(here.risk)), f"{usual}: {here.because}"))
        page.heading("What an attacker could do")
        for mark, text in possibilities(here, lambda a: f"{a.what} ({a.reference})"):
            page.bullet(text, mark)
        page.say(Content.styled(POSSIBILITIES, "dim"))

    def _settings(self, entry: Entry) -> list[tuple[str, str]]:
        """The settings of the recorded place that this capability has to do with."""
        said = " ".join(
            [entry.risk_reason, *entry.allows]
            + [condition.when for condition in entry.risk_conditions]
            + [way.do for way in entry.remediation]
        )
        posture = self.choice.report.posture.sysctls
        return [(name, value) for name, value in sorted(posture.items()) if name in said]

    def draw_all(self) -> None:
        """Texts are wrapped to the width."""
        self.draw()
