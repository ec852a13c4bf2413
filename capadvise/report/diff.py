"""The changes between two reports. Pure."""

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from capadvise.catalog import Catalog
from capadvise.judgement.conclusion import Conclusion, conclude_report
from capadvise.judgement.decide import Need, Verdict
from capadvise.judgement.judge import Effect, Judged
from capadvise.judgement.report import Report
from capadvise.model.caps import Cap, CapSet
from capadvise.model.escape import printable
from capadvise.report.dump import as_json, part
from capadvise.report.text import call_line
from capadvise.report.words import VERDICTS

SCHEMA = "capadvise.diff/1"


@dataclass(frozen=True, slots=True)
class SetChange:
    """How a set of capabilities changed."""

    gained: CapSet
    lost: CapSet


@dataclass(frozen=True, slots=True)
class Diff:
    """All changes from one report to another."""

    standing: tuple[Conclusion, Conclusion]
    """The conclusion on each: two failed runs can have the same set."""
    recommended: SetChange
    minimal: SetChange | None
    """None where one of the two reports has no minimal set."""
    verdicts: tuple[tuple[Need, Need], ...]
    """Before and after, where these differ."""
    gained_evidence: tuple[tuple[Cap, str], ...]
    """Evidence of the second report that the first does not have: (capability, the call)."""
    lost_evidence: tuple[tuple[Cap, str], ...]

    @property
    def same_set(self) -> bool:
        """True if both recommend the same."""
        return not self.recommended.gained and not self.recommended.lost


def diff(before: Report, after: Report, catalog: Catalog) -> Diff:
    one, two = before.proposal, after.proposal
    caps = sorted({need.cap for need in (*one.needs, *two.needs)})
    shown_before, shown_after = _evidence(before), _evidence(after)
    return Diff(
        standing=(conclude_report(before, catalog), conclude_report(after, catalog)),
        recommended=_set_change(one.recommended, two.recommended),
        minimal=(
            None
            if one.minimal is None or two.minimal is None
            else _set_change(one.minimal, two.minimal)
        ),
        verdicts=tuple(
            (one.need(cap), two.need(cap))
            for cap in caps
            if one.need(cap).verdict is not two.need(cap).verdict
        ),
        gained_evidence=tuple(sorted(shown_after - shown_before)),
        lost_evidence=tuple(sorted(shown_before - shown_after)),
    )


def _set_change(before: CapSet, after: CapSet) -> SetChange:
    return SetChange(after - before, before - after)


def _evidence(report: Report) -> frozenset[tuple[Cap, str]]:
    """The evidence of the needs, without counts and process numbers, which differ from run to
    run."""
    return frozenset(
        (need.cap, _what(judged))
        for need in report.proposal.needs
        for judged in need.evidence
        if judged.effect in (Effect.NEEDED, Effect.OPTIONAL)
    )


def _what(judged: Judged) -> str:
    """``nginx: bind, tcp 0.0.0.0:80, at __inet_bind``."""
    by = printable(judged.check.program) or "?"
    return f"{by}: {call_line(judged)}" + ("" if judged.check.granted else ", refused")


def diff_text(changes: Diff) -> Iterator[str]:
    """For people, at 80 columns: a line for each capability or piece of evidence."""
    before, after = (printable(each.standing_words) for each in changes.standing)
    yield from _wrapped(f"Standing: {before if before == after else f'{before} → {after}'}")
    yield from _set_text("Recommended", changes.recommended)
    if changes.minimal is not None:
        yield from _set_text("Minimal", changes.minimal)
    for was, now in changes.verdicts:
        decides = was if now.verdict is Verdict.NOT_CHECKED else now
        verdicts = f"{VERDICTS[was.verdict]} → {VERDICTS[now.verdict]}"
        text = f"{now.cap.short}: {verdicts}: {decides.reason}"
        yield from textwrap.wrap(text, 80, subsequent_indent="    ")
    for sign, evidence in (("+", changes.gained_evidence), ("-", changes.lost_evidence)):
        for cap, what in evidence:
            yield from _wrapped(f"{sign} {cap.short}  {what}")


def _set_text(title: str, change: SetChange) -> Iterator[str]:
    signs = [f"+{cap.short}" for cap in sorted(change.gained)]
    signs += [f"-{cap.short}" for cap in sorted(change.lost)]
    yield from _wrapped(f"{title}: {' '.join(signs) or 'the same'}")


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, 80, subsequent_indent="    ", break_on_hyphens=False)


def diff_json(changes: Diff) -> dict[str, Any]:
    """For machines."""
    return {
        "schema": SCHEMA,
        "same_set": changes.same_set,
        "standing": dict(
            zip(("before", "after"), (str(each.standing) for each in changes.standing), strict=True)
        ),
        "recommended": as_json(changes.recommended),
        "minimal": as_json(changes.minimal),
        "verdicts": [
            {
                "cap": was.cap.name,
                "before": part(was, "verdict", "proof", "reason"),
                "after": part(now, "verdict", "proof", "reason"),
            }
            for was, now in changes.verdicts
        ],
        "evidence": {
            "gained": [{"cap": cap.name, "what": what} for cap, what in changes.gained_evidence],
            "lost": [{"cap": cap.name, "what": what} for cap, what in changes.lost_evidence],
        },
    }
