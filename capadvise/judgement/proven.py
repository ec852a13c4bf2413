"""The results of trials, and the proposal that follows from them. Pure."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from capadvise.judgement import remediation
from capadvise.judgement.decide import ONLY_UPGRADE, Need, Proof, Proposal, Verdict
from capadvise.judgement.differences import Observed, examples
from capadvise.judgement.hardening import Hardening
from capadvise.judgement.judge import WHILE_STOPPED, Effect, Judged
from capadvise.judgement.opening import Opening
from capadvise.model.caps import Cap, CapSet
from capadvise.model.companion import Companion, CompanionKind
from capadvise.model.recording import Phase


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial, as the report keeps it."""

    caps: CapSet
    passed: bool
    seconds: float
    without: Cap | None = None
    """The capability that this trial removed."""
    repeat: bool = False
    differences: tuple[str, ...] = ()
    failed_at: str | None = None
    """The step of the lifecycle that failed: ``start``, ``restart``, ``exec``, ``reload`` or
    ``stop``; ``data``: the start on the data from before the recording; ``upgrade``: one on the
    data of an older image."""
    instead: tuple[str, ...] = ()
    """Replacements of ``without`` in this trial: names of capabilities, or ``name=value`` of a
    companion."""

    @property
    def beside(self) -> tuple[Companion, ...]:
        """The companions among the replacements."""
        return tuple(Companion.parse(word) for word in self.instead if Companion.is_named_by(word))


@dataclass(frozen=True, slots=True)
class Proven:
    """The proof that goes into a report."""

    isolation: str
    trials: tuple[Trial, ...]
    minimal: CapSet | None
    """1-minimal: it passed, and failed without any one member. None: not established."""
    flaky: bool = False
    recommended_sound: bool | None = None
    """None: no trial of it was made."""
    complete: bool = True
    """False: interrupted; ``minimal`` is the smallest set that passed so far, if any."""
    untried: CapSet = frozenset()
    """Needed in the recording, but not used in the trial that had everything."""
    cautions: tuple[str, ...] = ()
    """The parts of the lifecycle that are not proven, and what the comparison of the trials leaves
    open, one sentence each."""
    user_namespace: bool = False
    """The trials were made in a user namespace: the sets are needed there."""
    logs: tuple[str, ...] = ()
    """The output of the two trials of a flaky workload that did not agree."""

    leaves_nothing: bool = False
    """With every capability, no process outlasts the stop; if one does in another trial, that trial
    has failed."""
    date: str = ""
    """The day on which they were made, as ``2026-11-30``; empty in older reports."""
    hardening: Hardening | None = None
    """The options with which a unit also works; None: no option was tried."""
    compared: tuple[str, ...] = ()
    """The traces of trials that were compared: ``stdout``; empty in older reports."""
    opening: Opening | None = None
    """The replacement of a capability that only the seccomp profile asks for; None: not tried."""

    @property
    def conclusive(self) -> bool:
        """True if the trials came to their end, and no set both passed and failed."""
        return self.complete and not self.flaky

    def alternatives(self, cap: Cap) -> tuple[Trial, ...]:
        """The trials with something else in its place: a companion can replace several."""
        return tuple(
            trial
            for trial in self.trials
            if trial.instead and (trial.without == cap or (trial.beside and cap not in trial.caps))
        )


@dataclass(frozen=True, slots=True)
class TrialOutcome:
    """The outcome of running the workload with one set."""

    passed: bool
    why: str
    seconds: float
    observed: Observed
    refused: CapSet = frozenset()
    """Capabilities without which a call failed in this trial."""
    used: CapSet | None = None
    """Capabilities that its checks show to be needed; None: they were not observed."""
    kept: CapSet = frozenset()
    """Capabilities that programs keep by capset(2), or that their files demand."""
    failed_at: str | None = None
    """The failed step; see ``Trial``."""
    late: bool = False
    """It ran out of time, and had less time than the workload allows."""
    output: str = ""
    """The end of what it printed."""


class NotProvable(Exception):
    """The workload does not pass even with everything, so trials cannot judge any set."""

    def __init__(self, outcome: TrialOutcome) -> None:
        super().__init__(outcome.why)
        self.outcome = outcome


class Interrupted(Exception):
    """The user ended the search; the callable that runs trials raises it."""


ENDED_EARLY = "the trials ended early"


def unfinished(isolation: str, trials: Sequence[Trial]) -> Proven:
    """The results while trials are still made."""
    passed = [trial.caps for trial in trials if trial.passed]
    return Proven(isolation, tuple(trials), min(passed, key=len, default=None), complete=False)


_UNTRIED = "unknown: no trial reached what used it in the recording"


def _replaced(proven: Proven, minimal: CapSet) -> set[Cap]:
    """Capabilities that something else replaces: the minimal set passed with it, or a trial with it
    lost nothing."""
    return {
        trial.without
        for trial in proven.trials
        if trial.without is not None
        and trial.passed
        and trial.instead
        and (trial.caps == minimal or not trial.differences)
        and trial.without not in minimal
    }


def _removable(need: Need, lost: str, proven: Proven) -> Need:
    untried = _UNTRIED if need.cap in proven.untried else None
    return replace(
        need,
        verdict=Verdict.OPTIONAL,
        proof=Proof.TRIAL,
        reason=_reason(need),
        uncertain=need.uncertain if untried or need.of_unknown_site else None,
        lost_without=lost or untried,
        only=None if untried and need.phases == ("first-start",) else need.only,
    )


def _is_kept(need: Need, proven: Proven) -> bool:
    """True if the recommended set keeps it though the workload passes without."""
    return (
        need.verdict is Verdict.OPTIONAL
        and bool(need.lost_without or need.self_restricting)
        and (not need.of_unknown_site or need.cap in proven.untried)
    )


def conclude(proposal: Proposal, proven: Proven) -> Proposal:
    """Apply the trials to the proposal: required and optional instead of needed, and the two sets.
    A capability that the trials never came to use is kept, because they show nothing about it."""
    if proven.flaky or proven.minimal is None or not proven.complete:
        return proposal
    lost = _lost(proposal, proven, proven.minimal)
    needs = {need.cap: _without_doubt(need, proven) for need in proposal.needs}
    for cap in proven.minimal:
        needs[cap] = _required(needs.get(cap) or proposal.need(cap), proven.minimal, proven)
    lost_by_one = {cap for cap, sentences in lost.items() if sentences}
    replaced = _replaced(proven, proven.minimal)
    for cap in replaced:
        needs[cap] = replace(proposal.need(cap), verdict=Verdict.OPTIONAL, proof=Proof.TRIAL)
    for cap in (proposal.recommended | lost_by_one) - proven.minimal - replaced:
        need = needs.get(cap) or proposal.need(cap)
        needs[cap] = _removable(need, examples(lost.get(cap, ())), proven)
    kept = {cap for cap, need in needs.items() if _is_kept(need, proven)}
    return replace(
        proposal,
        needs=tuple(needs[cap] for cap in sorted(needs)),
        recommended=proven.minimal | kept,
        minimal=proven.minimal,
        set_readers=(),
    )


def _without_doubt(need: Need, proven: Proven) -> Need:
    """A capability that no recording shows to be needed is certain after trials, which passed
    without it or show that it is required. A doubt about processes that outlast a stop can stay:
    not all trials look at these."""
    tried = need.verdict in (Verdict.NOT_CHECKED, Verdict.INCIDENTAL)
    tried &= need.uncertain != WHILE_STOPPED or proven.leaves_nothing
    return replace(need, uncertain=None) if tried else need


def _lost(proposal: Proposal, proven: Proven, minimal: CapSet) -> dict[Cap, tuple[str, ...]]:
    """Collect what was lost without each capability outside of the minimal set, or that its removal
    failed. A capability that was never removed alone gets the losses of the empty set."""
    losses = dict(_removals(proposal, proven, minimal))  # a repeat replaces the first result
    lost: dict[Cap, tuple[str, ...]] = {}
    for (cap, _), sentences in losses.items():
        lost[cap] = lost.get(cap) or sentences
    empty = next((trial for trial in proven.trials if not trial.caps and trial.passed), None)
    untold = proposal.recommended - lost.keys()
    if empty is not None and len(untold) == 1:
        lost |= dict.fromkeys(untold, empty.differences)
    return lost


def _removals(
    proposal: Proposal, proven: Proven, minimal: CapSet
) -> Iterator[tuple[tuple[Cap, CapSet], tuple[str, ...]]]:
    """The losses of each removal, by capability and remaining set."""
    for trial in proven.trials:
        cap, why = trial.without, trial.differences
        if cap is None or cap in minimal or trial.beside:
            continue
        alone = proposal.recommended <= trial.caps | {cap}
        if alone or not trial.instead:
            fails = _FAILS_ALONE if alone else _FAILS_TOO
            if trial.failed_at == "upgrade":
                fails = _FAILS_LATER
            yield (cap, trial.caps), why if trial.passed else (f"{fails}: {examples(why)}",)


_FAILS_TOO = "with the others also removed, the workload fails"
_FAILS_ALONE = "with the others kept, the workload fails"
_FAILS_LATER = "at an upgrade only, on data of another owner, the workload fails"
_FAILS_AT = {
    "data": " on the existing data",
    "volumes": " on a new volume, which begins with files of the image",
    "restart": " at the second start",
    "exec": " when it is used",
    "reload": " when it reloads",
    "stop": " when it is stopped",
    "upgrade": " at an upgrade only",
}
"""By the step that failed. A failing first start needs no words."""


def _required(need: Need, minimal: CapSet, proven: Proven) -> Need:
    failed = next(
        (
            trial
            for trial in reversed(proven.trials)
            if trial.caps == minimal - {need.cap} and not (trial.passed or trial.instead)
        ),
        None,
    )
    at = failed.failed_at if failed else None
    return replace(
        need,
        verdict=Verdict.REQUIRED,
        proof=Proof.TRIAL,
        reason=_reason(need),
        uncertain=None,
        lost_without=f"the workload fails{_FAILS_AT.get(at or '', '')}",
        only=ONLY_UPGRADE if at == "upgrade" else need.only,
        remediation=_tried_cure(need, proven) or need.remediation,
        tried=tuple(
            ("+".join(trial.instead), trial.passed)
            for trial in proven.alternatives(need.cap)
            if not _is_cure(trial) and (trial.passed or _was_likely(trial, need))
        ),
        evidence=_telling_first(need.evidence, failed),
    )


def _tried_cure(need: Need, proven: Proven) -> str | None:
    cure = next(filter(_is_cure, proven.alternatives(need.cap)), None)
    if cure is None or not need.files:
        return None
    lost = examples(cure.differences) if cure.differences else None
    return remediation.without_file_caps(need.files, used=False, left=cure.caps, failed=lost)


def _is_cure(trial: Trial) -> bool:
    """True if it took file capabilities away: the remediation says so, and how it ended."""
    return any(one.kind is CompanionKind.FILE_CAPS for one in trial.beside)


def _was_likely(trial: Trial, need: Need) -> bool:
    """False if it was tried only because it is kept anyway."""
    named = {tuple(cap.short for cap in group) for group in need.alternatives}
    return trial.instead in named or bool(trial.beside)


_ENDED = "exited with"
"""Begins the reason of a trial whose main process ended by itself."""


def _telling_first(evidence: Sequence[Judged], failed: Trial | None) -> tuple[Judged, ...]:
    """Sort the uses of a capability, first the one that made the trial fail: by the program that
    the failure names, or by the phase in which it failed."""
    if failed is None:
        return tuple(evidence)
    why = " ".join(failed.differences)
    when = {_WHEN.get(failed.failed_at or "")}
    if not why.startswith(_ENDED):  # it still ran, and its check did not pass
        when.add(str(Phase.HEALTHCHECK))

    def distance(judged: Judged) -> tuple[bool, bool, bool]:
        name = judged.check.program
        is_named = re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w.-])", why) if name else None
        return judged.effect is not Effect.NEEDED, is_named is None, judged.when not in when

    return tuple(sorted(evidence, key=distance))


_WHEN = {"restart": "later-start", "reload": "reload", "stop": "stop"}


def _reason(need: Need) -> str:
    if need.verdict in (Verdict.NEEDED, Verdict.OPTIONAL, Verdict.REQUIRED):
        return need.reason
    if any(judged.check.phase is Phase.STOP for judged in need.evidence):
        return need.reason
    if need.evidence and need.reason:
        return f"found by trial: {need.reason}"
    return "found by trial: no capability check shows what it is needed for"
