"""The capabilities that the user wants, and the meaning of that choice. Pure: no screen here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from capadvise.catalog import Catalog
from capadvise.config import LANGUAGES
from capadvise.judgement.conclusion import Conclusion, PassedSet, Standing, held_in
from capadvise.judgement.decide import Need, Proof, Verdict
from capadvise.judgement.proven import Trial
from capadvise.judgement.report import Report
from capadvise.model.caps import Cap, CapSet
from capadvise.model.escape import printable
from capadvise.report.words import PROOFS, without

LONGEST = 80
"""Characters of a difference in a sentence; the proof screen has all of it."""


class Base(StrEnum):
    """The set of the report that a choice starts from."""

    RECOMMENDED = "recommended"
    MINIMAL = "minimal"


class Decision(StrEnum):
    """The effect of a choice on one capability."""

    KEPT = "kept"
    OUT = "out"
    DROPPED = "dropped by you"
    ADDED = "added by you"


@dataclass(frozen=True, slots=True)
class Choice:
    """A set of the report, and what the user changed in it."""

    report: Report
    base: Base = Base.RECOMMENDED
    toggled: CapSet = frozenset()
    """The capabilities that the user kept or dropped."""
    passed: PassedSet | None = None
    """Another set that passed a trial, in place of ``base``."""

    @property
    def start(self) -> CapSet:
        """The set of the report, unchanged."""
        proposal = self.report.proposal
        if self.passed is not None:
            return self.passed.caps
        if self.base is Base.MINIMAL and proposal.minimal is not None:
            return proposal.minimal
        return proposal.recommended

    @property
    def caps(self) -> CapSet:
        """The set as chosen."""
        return self.start ^ self.toggled

    @property
    def beside(self) -> tuple[str, ...]:
        """The companions of the set, as ``PassedSet`` has them."""
        return self.passed.beside if self.passed is not None else ()

    @property
    def held(self) -> PassedSet:
        """The set as chosen, with its companions."""
        return PassedSet(self.caps, self.beside)

    @property
    def name(self) -> str:
        """``the recommended set``, ``the minimal set``, ``the set with NAME=VALUE``, or ``your
        set`` if it was changed."""
        if self.toggled:
            return "your set"
        if self.passed is not None:
            return f"the set with {printable(', '.join(self.beside))}"
        return "the minimal set" if self.base is Base.MINIMAL else "the recommended set"

    @property
    def set_name(self) -> str:
        """One word for it, as formats say it: ``recommended``, ``minimal`` or ``chosen``."""
        return "chosen" if self.toggled or self.passed is not None else str(self.base)

    def decision(self, cap: Cap) -> Decision:
        """The effect of this choice on one capability."""
        if cap in self.toggled:
            return Decision.DROPPED if cap in self.start else Decision.ADDED
        return Decision.KEPT if cap in self.start else Decision.OUT

    def toggle(self, cap: Cap) -> Choice:
        """This choice with one capability dropped if it was kept, or kept if it was dropped."""
        return replace(self, toggled=self.toggled ^ {cap})

    def offered(self, also_passed: Sequence[PassedSet]) -> tuple[Choice, ...]:
        """The sets of the report: recommended, minimal, and others that passed a trial."""
        plain = Choice(self.report)
        minimal = (
            () if self.report.proposal.minimal is None else (Choice(self.report, Base.MINIMAL),)
        )
        return (plain, *minimal, *(replace(plain, passed=one) for one in also_passed))

    def following(self, also_passed: Sequence[PassedSet]) -> Choice:
        """The next of these, without the user's changes."""
        offered = self.offered(also_passed)
        plain = replace(self, toggled=frozenset())
        at = offered.index(plain) if plain in offered else -1
        return offered[(at + 1) % len(offered)]

    def of(self, report: Report) -> Choice:
        """The same choice for a report that has a new proof."""
        return replace(self, report=report)

    def trial(self, caps: CapSet | None = None) -> Trial | None:
        """The latest trial of exactly this set, with what stands beside it; the chosen set by
        default."""
        wanted = self.held if caps is None else PassedSet(caps, self.beside)
        proven = self.report.proven
        trials = proven.trials if proven else ()
        return next((trial for trial in reversed(trials) if held_in(trial) == wanted), None)


# ------------------------------------------------------------------------- what a choice means


def status(choice: Choice, conclusion: Conclusion) -> str:
    """A sentence: how far the chosen set can be trusted as a whole."""
    trial = choice.trial()
    lost = brief(trial) if trial else ""
    match conclusion.standing:
        case Standing.PROVEN_MINIMAL:
            return "Proven minimal: it works, and fails without any one of them."
        case Standing.PROVEN:
            return f"Proven: it works{f', but {lost}' if lost else ''}."
        case Standing.NOT_PROVEN if trial is None and choice.toggled:
            return "Not tested: y tests exactly this set."
    text = printable(conclusion.standing_words)
    return f"{text[:1].upper()}{text[1:]}."


def brief(trial: Trial) -> str:
    """The differences that a trial made, in a line, with the beginning of each."""
    firsts = []
    for text in trial.differences:
        first = text.partition("\n")[0][:LONGEST].rstrip()
        firsts.append(printable(first) + ("…" if len(first) < len(text.rstrip()) else ""))
    return "; ".join(firsts)


def cost(choice: Choice) -> str | None:
    """A sentence: what is lost by the user's changes. None if nothing was dropped, or if a trial of
    the whole set says it."""
    dropped = sorted(choice.toggled & choice.start)
    if not dropped or choice.trial() is not None:
        return None
    texts = [
        f"Without {cap.short}: {loss(choice, choice.report.proposal.need(cap))}."
        for cap in dropped[:2]
    ]
    more = f" And {len(dropped) - 2} more dropped." if len(dropped) > 2 else ""
    return " ".join(texts) + more


def consequence(choice: Choice, cap: Cap, risk: str) -> str:
    """A sentence: the effect of keeping or dropping this capability. ``risk``: its word."""
    need = choice.report.proposal.need(cap)
    match choice.decision(cap):
        case Decision.KEPT:
            return f"Kept. Without it: {loss(choice, need)}."
        case Decision.DROPPED:
            return f"Dropped by you. Without it: {loss(choice, need)}."
        case Decision.ADDED:
            return f"Added by you: {_gain(need)}, and it adds a {risk} risk."
        case Decision.OUT:
            return f"Not in the set: {_why_out(choice, need)}."


def _gain(need: Need) -> str:
    if not need.evidence:
        return "no capability check for it was seen"
    if need.uncertain:
        return "it is likely optional" if _is_likely_optional(need) else "it may be needed"
    return "it is not needed"


def _is_likely_optional(need: Need) -> bool:
    return any(item.likely_optional for item in need.evidence)


def loss(choice: Choice, need: Need) -> str:
    """The loss without a capability that the set holds, and how it is known."""
    trial = choice.trial(choice.caps - {need.cap}) or _removal(choice.report, need.cap)
    if trial is not None:
        lost = brief(trial)
        if not trial.passed:
            return f"it fails ({lost or 'its check does not pass'}), proven by trial"
        return f"it works, but {lost} (proven by trial)" if lost else "no loss (proven by trial)"
    if need.verdict is Verdict.NOT_CHECKED:
        return "no call that was seen fails"
    if need.lost_without:
        return f"{without(need)} ({PROOFS[need.proof]})"
    if need.self_restricting:
        return f"the program may keep rights that it wants to give up ({PROOFS[need.proof]})"
    if need.files:
        return f"{printable(need.files[0])} cannot be executed ({PROOFS[need.proof]})"
    if not need.evidence:
        return "the program calls capset(2) with it and may refuse to start (not tested)"
    if need.proof is Proof.RETRY:
        return f"{need.reason} fails ({PROOFS[need.proof]})"
    return f"{need.reason} may fail ({PROOFS[need.proof]})"


def _removal(report: Report, cap: Cap) -> Trial | None:
    """The trial that took this capability away from a larger set."""
    trials = report.proven.trials if report.proven else ()
    alone = [trial for trial in trials if trial.without == cap and not trial.instead]
    return alone[-1] if alone else None


def _why_out(choice: Choice, need: Need) -> str:
    if _is_likely_optional(need):
        return "as far as one run tells, the program goes on without it"
    match need.verdict:
        case _ if need.uncertain and choice.report.proposal.minimal is None:
            return "it may be needed, but one run shows no need for it"
        case Verdict.NOT_CHECKED:
            return "the kernel never checked it"
        case Verdict.INCIDENTAL:
            return "it was checked, and the result has no effect"
        case Verdict.DENIED:
            return "it was denied, and the program went on"
        case _ if choice.beside:
            return f"together with {printable(', '.join(choice.beside))}, it works without it"
        case _:
            lost = without(need)
            return f"it works without it, but {lost}" if lost else "it works without it"


# ---------------------------------------------------------------------- compared with others


def compared(choice: Choice, catalog: Catalog, format_name: str) -> str:
    """``docker's default 14 → 3 (−12, +SYS_ADMIN)``."""
    language = LANGUAGES.get(format_name)
    if language is not None and language.consumer is not None and language.consumer.on_host:
        total = choice.report.recording.host.last_cap + 1
        return f"{language.consumer.title}'s default {total} → {len(choice.caps)}"
    name = (language and language.engine) or choice.report.target.engine
    runtime, caps = catalog.baselines.default(name), choice.caps
    fewer, more = runtime.grants - caps, sorted(caps - runtime.grants)
    changes = [f"−{len(fewer)}"] if fewer else []
    changes += [f"+{cap.short}" for cap in more[:3]]
    changes += [f"+{len(more) - 3} more"] if len(more) > 3 else []
    change = f" ({', '.join(changes)})" if changes else ""
    return f"{runtime.name}'s default {len(runtime.grants)} → {len(caps)}{change}"
