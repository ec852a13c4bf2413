"""What the pages share: how a stylesheet calls the lights, and what a page is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from capadvise.catalog import default
from capadvise.catalog.capabilities import Risk
from capadvise.config.comments import one_line
from capadvise.config.snippet import Snippet
from capadvise.judgement.decide import Need
from capadvise.model.caps import Cap
from capadvise.model.errors import BadInput
from capadvise.report.lamps import Light, RisksHere

if TYPE_CHECKING:
    from capadvise.report.sheet import Sheet

CLASSES = {
    Light.ROOT: "root",
    Light.NEEDED: "needed",
    Light.ADDED: "added",
    Light.DROPPED: "dropped",
    Light.OPTIONAL_KEPT: "optional",
    Light.OPTIONAL: "optional",
    Light.DENIED: "denied",
    Light.INCIDENTAL: "incidental",
    Light.UNJUDGED: "incidental",
    Light.DARK: "dark",
}
"""How a stylesheet calls the lights."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A capability of the set, and what is known of it."""

    cap: Cap
    verdict: str
    proof: str
    reason: str
    risk: str | None
    lost_without: str | None = None
    uncertain: str | None = None


def kept_in(snippet: Snippet) -> tuple[Kept, ...]:
    """The capabilities of the set; none where the snippet comes from no report."""
    if snippet.report is None:
        return ()
    risks = RisksHere(snippet.report, default())
    needs = (snippet.report.proposal.need(cap) for cap, _ in snippet.caps)
    return tuple(_kept(need, risks.get(need.cap)) for need in needs)


def _kept(need: Need, risk: Risk | None) -> Kept:
    return Kept(
        need.cap,
        str(need.verdict),
        str(need.proof),
        one_line(need.why),
        None if risk is None else str(risk),
        need.lost_without and one_line(need.lost_without),
        need.uncertain and one_line(need.uncertain),
    )


def sheet_in(snippet: Snippet) -> Sheet:
    """What a page is made of."""
    if snippet.report is None:
        raise BadInput(
            f"{snippet.name}: it does not come from a report, so there is no page to make"
        )
    from capadvise.report.sheet import sheet_of

    caps = frozenset(cap for cap, _ in snippet.caps)
    return sheet_of(snippet.report, caps, default(), snippet.set_name)


def set_word(name: str) -> str:
    """``minimal``, ``recommended``, ``chosen``."""
    return "minimal" if name == "floor" else name
