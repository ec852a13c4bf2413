"""What is to be said of one capability: why it is needed, what it risks, what to do instead."""

from __future__ import annotations

from textual.content import Content
from textual.widget import Widget

from capadvise.caps import Cap
from capadvise.catalog import Catalog
from capadvise.catalog.capabilities import Entry, Use
from capadvise.decide import Need, Verdict
from capadvise.report.escape import printable
from capadvise.report.explain_facts import uses_seen
from capadvise.report.text import MARKS
from capadvise.tui.choice import Choice, consequence
from capadvise.tui.look import DECISION_MARKS, VERDICT_STYLES, Page, risk_text


def why(choice: Choice, need: Need, catalog: Catalog, uses: Uses, box: Widget) -> Content:
    """All of it, as one text for a pane."""
    page = Page(box)
    entry = catalog.entry(need.cap)
    page.say(
        Content.assemble(
            (f"{MARKS[need.verdict]} {need.verdict}", VERDICT_STYLES[need.verdict]),
            ("   risk ", "dim"),
            risk_text(catalog.risk(need.cap)),
            ("   proof ", "dim"),
            str(need.proof),
        )
    )
    page.say(f"{entry.summary}." if entry else "Newer than this catalog: unknown.")
    _decision(page, choice, need, catalog)
    if need.verdict is not Verdict.UNUSED:
        _reason(page, need)
    if entry:
        risk_lines(page, entry)
        seen = uses.seen(need)
        for use, asked in seen:
            use_lines(page, use, asked)
        if not seen:
            attacks(page, entry)
            ways_out(page, entry)
    return page.content()


def _decision(page: Page, choice: Choice, need: Need, catalog: Catalog) -> None:
    glyph, style = DECISION_MARKS[choice.decision(need.cap)]
    mark = (f"{glyph} ", style) if glyph.strip() else ("", "")
    page.gap()
    page.say(Content.assemble(mark, consequence(choice, need.cap, catalog)))


def _reason(page: Page, need: Need) -> None:
    needed = need.verdict in (Verdict.REQUIRED, Verdict.USED, Verdict.TOLERATED)
    page.heading("What it is needed for" if needed else "What was asked")
    page.say(f"{need.reason[:1].upper()}{need.reason[1:]}.")
    if need.alternatives:
        others = " or ".join("+".join(cap.short for cap in caps) for caps in need.alternatives)
        page.say(f"Instead of it, {others} would do.")
    if need.self_restricting:
        page.say("It is used to give up rights: without it, the program may go on with more.")
    if need.uncertain:
        page.say(Content.assemble(("Uncertain: ", "$text-warning"), printable(need.uncertain), "."))


def risk_lines(page: Page, entry: Entry) -> None:
    """The risk, and where it is another one."""
    page.heading("Risk")
    page.say(Content.assemble(risk_text(str(entry.risk)), ": ", entry.risk_reason))
    for condition in entry.risk_conditions:
        where = f" where {condition.when}: {condition.reason}"
        page.bullet(Content.assemble(risk_text(str(condition.risk)), where))


def attacks(page: Page, entry: Entry) -> None:
    """What somebody who took over the program does with it."""
    page.heading("What an attacker gains")
    for attack in entry.attack:
        page.bullet(f"{attack.what} ({attack.reference})")


def ways_out(page: Page, entry: Entry) -> None:
    """How to do without."""
    page.heading("What to do instead")
    for way in entry.remediation:
        page.bullet(f"{way.need}: {way.do}")


def use_lines(page: Page, use: Use, asked: int) -> None:
    """One of the many uses of a capability that was seen, with its way out."""
    page.heading(f"Seen {asked}×: {use.name}")
    page.say(use.what)
    page.bullet(Content.assemble(("An attacker gains: ", "$text-warning"), use.gains))
    page.bullet(Content.assemble(("Instead: ", "$text-success"), use.remediation))
    if use.narrower:
        names = ", ".join(cap.short for cap in use.narrower)
        page.bullet(Content.assemble(("Narrower: ", "$text-success"), names))


class Uses:
    """Which of the many uses of a capability were seen. Found once for each capability: a
    recording can hold 100,000 pieces of evidence, and no proof changes them."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._by_cap: dict[Cap, list[tuple[Use, int]]] = {}

    def seen(self, need: Need) -> list[tuple[Use, int]]:
        """The uses that the needed checks were about, and how often the kernel asked; the most
        asked for first."""
        entry = self._catalog.entry(need.cap)
        if entry is None or not entry.uses:
            return []
        if need.cap not in self._by_cap:
            self._by_cap[need.cap] = uses_seen(need, entry)
        return self._by_cap[need.cap]
