"""The content of the pages: lamps, needs and proof of a report, in words that are safe to show.
Pure."""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace

from capadvise.catalog import Catalog, default
from capadvise.catalog.capabilities import Risk
from capadvise.config.snippet import Snippet, one_line
from capadvise.judgement.conclusion import Conclusion, conclude_report
from capadvise.judgement.decide import Need, Proof, Verdict
from capadvise.judgement.judge import Effect
from capadvise.judgement.proven import Trial
from capadvise.judgement.report import Report
from capadvise.judgement.risk import RisksHere, all_caps, judged_in, remaining, risk_word
from capadvise.model.caps import Cap, CapSet
from capadvise.model.errors import BadInput
from capadvise.model.escape import printable
from capadvise.report.explain_report import possibilities
from capadvise.report.lamps import Lamp, Light, Score, lamps, score_of, signs
from capadvise.report.text import evidence_line, tested_lines
from capadvise.report.words import PROOFS, VERDICTS, no_need, proof_lines, trial_name, without

_LONGEST = 300
"""Characters of a text that a program chose."""


@dataclass(frozen=True, slots=True)
class SheetNeed:
    """One capability of the set, or one that was checked and is not in it."""

    cap: Cap
    kept: bool
    verdict: str
    risk: str
    proof: str
    reason: str
    call: str
    """The call that decides; empty where none is known."""
    without: str
    """The loss without it; empty if it is not known."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """The whole content of a page."""

    name: str
    command: str
    set_name: str
    conclusion: Conclusion
    score: Score
    lamps: tuple[Lamp, ...]
    needs: tuple[SheetNeed, ...]
    proof: tuple[str, ...]
    trials: tuple[tuple[str, Trial], ...]
    """Each with its name."""
    tested: tuple[str, ...]
    """The exercised parts, and the others."""
    place: str
    """The place in which the risks are judged."""
    attacks: tuple[tuple[Cap, str], ...]
    """Those that are possible there with one capability of the set; each begins with the condition
    for it, if that is not known to hold."""
    notes: tuple[str, ...]
    """Facts that could not be observed, and uncertain needs."""
    recorded: str
    """When, how long, by which observer."""

    @property
    def title(self) -> str:
        """The size of the set, or that it is no answer."""
        if not self.conclusion.has_set:
            return f"{self.conclusion.standing_words}: what was needed until then"
        kept = sum(need.kept for need in self.needs)
        return f"The {self.set_name} set: keep {kept}, drop the rest"

    @property
    def empty(self) -> str:
        """The sentence for a set without members."""
        return no_need(self.conclusion)


def sheet_of(report: Report, caps: CapSet, catalog: Catalog, set_name: str) -> Sheet:
    """The sheet of a report and a set of it, or one of the user's own."""
    risks = RisksHere(report, catalog)
    known = all_caps(report.recording.host.last_cap, report.proposal)
    base = report.proposal.minimal if set_name == "minimal" else report.proposal.recommended
    proven = report.proven
    conclusion = conclude_report(report, catalog, caps, risks=risks)
    checked = {need.cap for need in report.proposal.needs}
    shown = sorted(caps | checked, key=lambda cap: (cap not in caps, cap))
    everything = proven.trials[0].caps if proven and proven.trials else frozenset(known)
    return Sheet(
        name=_plain(report.target.name),
        command=_plain(shlex.join(report.target.argv)),
        set_name=set_name,
        conclusion=conclusion,
        score=score_of(conclusion),
        lamps=lamps(known, report.proposal, caps, base or frozenset(), risks),
        needs=tuple(_sheet_need(report, caps, cap, risks) for cap in shown),
        proof=tuple(proof_lines(proven)) if proven else ("Not tested: no trial was made.",),
        trials=tuple(
            (
                trial_name(trial, everything),
                replace(trial, differences=tuple(map(_plain, trial.differences))),
            )
            for trial in (proven.trials if proven else ())
        ),
        tested=tuple(map(_plain, tested_lines(report))),
        place=_plain(judged_in(report)[1] or "Where it ran"),
        attacks=tuple(_attacks(report, caps, catalog, risks)),
        notes=tuple(_notes(report)),
        recorded=_recorded(report),
    )


def _sheet_need(report: Report, caps: CapSet, cap: Cap, risks: RisksHere) -> SheetNeed:
    need = report.proposal.need(cap)
    deciding = [judged for judged in need.evidence if judged.effect is Effect.NEEDED]
    call = evidence_line((deciding or list(need.evidence))[0]) if need.evidence else ""
    return SheetNeed(
        cap,
        cap in caps,
        VERDICTS[need.verdict],
        risk_word(risks.get(cap)),
        PROOFS[need.proof],
        _plain(need.why),
        _plain(call),
        _plain(without(need)),
    )


def _attacks(
    report: Report, caps: CapSet, catalog: Catalog, risks: RisksHere
) -> Iterator[tuple[Cap, str]]:
    """The possible ones, the worst first."""
    place, _ = judged_in(report)
    entries = [entry for cap in sorted(caps) if (entry := catalog.entry(cap)) is not None]
    for entry in sorted(entries, key=lambda entry: -(risks.get(entry.cap) or 0)):
        for mark, text in possibilities(remaining(entry, place), lambda attack: attack.what):
            if mark != "×":
                yield entry.cap, _plain(text)


def _notes(report: Report) -> list[str]:
    doubts = [
        f"{n.cap.short} is uncertain: {n.uncertain}" for n in report.proposal.needs if n.uncertain
    ]
    return [_plain(text) for text in (*report.proposal.cautions, *doubts)]


def _recorded(report: Report) -> str:
    first = report.recording
    checks = sum(check.count for item in report.recordings for check in item.checks)
    lost = sum(item.lost.total for item in report.recordings)
    dropped = f"{lost} events dropped" if lost else "none dropped"
    seconds = sum(item.seconds for item in report.recordings)
    return _plain(
        f"Recorded {first.started[:16].replace('T', ' ')}, {seconds:.1f} s, {checks} capability "
        f"checks, {dropped}, {first.host.observer}, Linux {first.host.kernel}"
    )


def _plain(text: str) -> str:
    text = text.replace("\n", " ")
    return printable(text[:_LONGEST]) + ("…" if len(text) > _LONGEST else "")


CLASSES = signs(Light, "class")
"""How a stylesheet calls the lights."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A capability of the set, and what is known of it."""

    cap: Cap
    verdict: Verdict
    proof: Proof
    risk: str | None
    reason: str
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
        need.verdict,
        need.proof,
        None if risk is None else str(risk),
        one_line(need.why),
        need.lost_without and one_line(need.lost_without),
        need.uncertain and one_line(need.uncertain),
    )


def sheet_in(snippet: Snippet) -> Sheet:
    """The sheet of a snippet. Raises BadInput if it comes from no report."""
    if snippet.report is None:
        raise BadInput(
            f"{snippet.name}: it does not come from a report, so there is no page to make"
        )
    caps = frozenset(cap for cap, _ in snippet.caps)
    return sheet_of(snippet.report, caps, default(), snippet.set_name)
