"""The text on one capability: why it is needed, its risk, and the remediation."""

from textual.content import Content

from capadvise.catalog import Catalog
from capadvise.catalog.capabilities import Entry, Use
from capadvise.judgement.decide import Need, Verdict
from capadvise.judgement.report import Report
from capadvise.judgement.risk import judged_in, remaining, risk_word
from capadvise.judgement.user_namespace import Placed
from capadvise.model.escape import printable
from capadvise.report.explain_report import POSSIBILITIES, possibilities, uses_seen
from capadvise.report.fit import place_sentence
from capadvise.report.text import MARKS, drops_privileges, occasions
from capadvise.report.words import PROOFS, VERDICTS
from capadvise.tui.choice import Choice, Decision, consequence
from capadvise.tui.look import DECISION_MARKS, VERDICT_STYLES, risk_text
from capadvise.tui.page import Page

_NEEDED = (Verdict.REQUIRED, Verdict.NEEDED, Verdict.OPTIONAL)


def uses_of(catalog: Catalog, need: Need) -> list[tuple[Use, int]]:
    """The uses to which the needed checks belong, with their number; the most frequent first."""
    entry = catalog.entry(need.cap)
    return uses_seen(need, entry) if entry else []


def why(
    choice: Choice,
    need: Need,
    catalog: Catalog,
    seen: list[tuple[Use, int]],
    risk: object,
    place: Placed | None,
) -> Page:
    """The page. ``seen``: see ``uses_of``; ``risk``: in the place where the target runs; ``place``:
    where the need can be met."""
    page = Page()
    entry = catalog.entry(need.cap)
    page.say(
        Content.assemble(
            (f"{MARKS[need.verdict]} {VERDICTS[need.verdict]}", VERDICT_STYLES[need.verdict]),
            ("   risk ", "dim"),
            risk_text(risk),
        )
    )
    if need.verdict is not Verdict.NOT_CHECKED:
        page.say(Content.styled(f"{_capital(PROOFS[need.proof])}.", "dim"))
    page.say(f"{entry.summary}." if entry else "Newer than this catalog: unknown.")
    mark, style = DECISION_MARKS[choice.decision(need.cap)]
    page.gap()
    effect = consequence(choice, need.cap, risk_word(risk))
    page.say(Content.assemble((f"{mark} " * bool(mark.strip()), style), effect))
    if need.verdict is not Verdict.NOT_CHECKED:
        _reason(page, choice, need)
    if place is not None and need.verdict in _NEEDED:
        page.say(printable(place_sentence(place)))
    if entry:
        risk_lines(page, choice.report, entry)
        for use, checks in seen:
            use_lines(page, use, checks)
        if not (seen or need.files):  # a file's remediation is above
            instead(page, entry)
    return page


def _reason(page: Page, choice: Choice, need: Need) -> None:
    needed = need.verdict in _NEEDED
    page.heading("What it is needed for" if needed else "What was checked")
    page.say(f"{_capital(need.reason)}.")
    for occasion in (*occasions(need), *drops_privileges(need)):
        page.say(f"{_capital(occasion)}.")
    if need.alternatives:
        others = " or ".join("+".join(cap.short for cap in caps) for caps in need.alternatives)
        page.say(f"{others} would be enough, too.")
    if need.remediation and choice.decision(need.cap) is not Decision.OUT:
        page.say(Content.assemble(("Instead: ", "$text-success"), printable(need.remediation)))
    if need.uncertain:
        about = f"{need.about}: " if need.about else ""
        text = printable(f"{about}{need.uncertain}.")
        page.say(Content.assemble(("Uncertain: ", "$text-warning"), text))


def risk_lines(page: Page, report: Report, entry: Entry, *, gone: bool = False) -> None:
    """Add the risk in the place where the target runs, and the attacks. ``gone``: the user dropped
    the capability."""
    place, where = judged_in(report)
    here = remaining(entry, place)
    page.heading("Risk")
    usual = f", usually {risk_word(entry.risk)}" if here.risk is not entry.risk else ""
    page.say(Content.assemble(risk_text(here.risk), f"{usual}: {here.because}"))
    if where:
        page.say(Content.styled(f"Judged {where[:1].lower()}{where[1:]}.", "dim"))
    page.heading("What an attacker can no longer do" if gone else "What an attacker could do")
    for mark, text in possibilities(here, lambda attack: f"{attack.what} ({attack.reference})"):
        if gone:
            page.bullet(Content.styled(text, "strike dim"), "−")
        else:
            page.bullet(text, mark)
    if not gone:
        page.say(Content.styled(POSSIBILITIES, "dim"))


def instead(page: Page, entry: Entry) -> None:
    """Add how to do without the capability."""
    page.heading("Do this instead")
    for way in entry.remediation:
        page.bullet(f"{way.need}: {way.do}")


def use_lines(page: Page, use: Use, checks: int) -> None:
    """Add one use of a capability that was seen, with its remediation."""
    page.heading(f"Seen {checks}×: {use.name}")
    page.say(use.what)
    page.bullet(Content.assemble(("An attacker gains: ", "$text-warning"), use.gains))
    page.bullet(Content.assemble(("Instead: ", "$text-success"), use.remediation))
    if use.narrower:
        names = ", ".join(cap.short for cap in use.narrower)
        page.bullet(Content.assemble(("Narrower: ", "$text-success"), names))


def _capital(text: str) -> str:
    first = text.partition(" ")[0]
    return text if "_" in first else f"{text[:1].upper()}{text[1:]}"  # a function keeps its name
