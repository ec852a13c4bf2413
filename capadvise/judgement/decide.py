"""Decides what a target needs, from what was seen. Pure.

``judge`` gives each distinct check an effect, by the meaning of its call site, the kernel's answer
and the call's result. The effects of one capability make its need. ``choose`` settles either-or
questions last, over all capabilities together.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from capadvise.catalog import Catalog
from capadvise.judgement import remediation
from capadvise.judgement.behaviour import Context
from capadvise.judgement.differences import examples
from capadvise.judgement.judge import UNKNOWN_SITE, Effect, Judged, implied, judge, one_question
from capadvise.model.caps import SYS_ADMIN, Cap, CapSet
from capadvise.model.recording import ImageFile, Namespace, Phase, Recording, Retried, SecondRun
from capadvise.model.wording import counted


class Verdict(StrEnum):
    """How much a workload depends on a capability, strongest first."""

    REQUIRED = "required"
    """Shown by a trial: the workload fails without it."""
    NEEDED = "needed"
    """The outcome of at least one system call depends on it."""
    OPTIONAL = "optional"
    """Needed, but a trial passed without it."""
    INCIDENTAL = "incidental"
    """Checked, but the result has no effect."""
    DENIED = "denied"
    """Refused without effect: the process had dropped it, or the call succeeded anyway."""
    NOT_CHECKED = "not-checked"


class Proof(StrEnum):
    """The evidence for a verdict, strongest first."""

    TRIAL = "trial"
    RETRY = "retry"
    CALL_SITE = "call-site"
    NONE = "none"


PHASES = ("first-start", "later-start", "healthcheck", "reload", "stop")
"""The phases of a lifecycle, in order."""
ONLY_HEALTHCHECK = "only by the health check"
ONLY_UPGRADE = "at an upgrade only"
_ONLY = {
    "first-start": "only at the first start",
    "later-start": "only from the second start on",
    "healthcheck": ONLY_HEALTHCHECK,
    "reload": "only at a reload",
    "stop": "only while it stops",
}


@dataclass(frozen=True, slots=True)
class Need:
    """The judgement on one capability."""

    cap: Cap
    verdict: Verdict
    proof: Proof
    reason: str
    uncertain: str | None = None
    lost_without: str | None = None
    remediation: str | None = None
    """How the image could make it unnecessary, judging by its files."""
    alternatives: tuple[tuple[Cap, ...], ...] = ()
    self_restricting: bool = False
    only: str | None = None
    """The one phase of a recorded lifecycle in which it is needed, in words that follow a name."""
    tried: tuple[tuple[str, bool], ...] = ()
    """Alternatives that trials tried, and whether the trial passed."""
    seen: tuple[int, int] = (0, 0)
    """(recordings in which it was needed, all recordings)."""
    files: tuple[str, ...] = ()
    """Program files that cannot be executed without it, though no check asks for it."""
    evidence: tuple[Judged, ...] = ()

    @property
    def of_unknown_site(self) -> bool:
        """True if its only evidence are checks that the catalog does not know."""
        return self.uncertain == UNKNOWN_SITE

    @property
    def why(self) -> str:
        """The reason, and the phase."""
        return f"{self.reason}; {self.only}" if self.only else self.reason

    @property
    def about(self) -> str:
        """``kill, signal 0, by sh``: the call that makes it uncertain; empty if none is known."""
        return next((item.about for item in self.evidence if item.uncertain == self.uncertain), "")

    @property
    def phases(self) -> tuple[str, ...]:
        """The phases of a lifecycle in which it is needed, as far as checks tell."""
        needed = {judged.when for judged in self.evidence if judged.effect is Effect.NEEDED}
        return tuple(phase for phase in PHASES if phase in needed)


_READS_SETS = "programs usually do that to show or to reduce them"


@dataclass(frozen=True, slots=True)
class Doubt:
    """A capability that is not recommended, and may be needed anyway."""

    cap: Cap | None
    """None: one that a program looks for in its own sets, and that nothing tells."""
    about: str
    """The call, with its program; empty if none is known."""
    why: str
    """Why it is believed not to be needed, or what was not observed."""

    @property
    def name(self) -> str:
        """``KILL``, ``a capability``."""
        return "a capability" if self.cap is None else self.cap.short


@dataclass(frozen=True, slots=True)
class Proposal:
    """All needs, and the two sets that follow from them."""

    needs: tuple[Need, ...]
    recommended: CapSet
    minimal: CapSet | None = None
    cautions: tuple[str, ...] = ()
    """The limits of the recordings, one sentence each."""
    set_readers: tuple[str, ...] = ()
    """Programs that read their own sets, and may end if something is missing there."""

    @property
    def doubts(self) -> tuple[Doubt, ...]:
        """The capabilities that may be needed in addition to the recommended set."""
        of_needs = (
            Doubt(need.cap, need.about, need.uncertain)
            for need in self.needs
            if need.uncertain and need.cap not in self.recommended
        )
        return (
            *of_needs,
            *(Doubt(None, f"{name} reads its own sets", _READS_SETS) for name in self.set_readers),
        )

    @property
    def in_doubt(self) -> CapSet:
        """The capabilities that a second run is refused: those that may be needed, and members of
        the set that may not be. Not those with which the program drops privileges, or whose loss
        leaves no trace that is compared: an entry of the audit log, a time of access."""
        outside = {doubt.cap for doubt in self.doubts if doubt.cap is not None}
        return frozenset(outside) | {
            need.cap
            for need in self.needs
            if need.cap in self.recommended and need.uncertain and not need.self_restricting
            if not any(item.lost or (item.rule and item.rule.doubt) for item in need.evidence)
        }

    def need(self, cap: Cap) -> Need:
        """The need for one capability; it is not checked if no need names it."""
        return next((need for need in self.needs if need.cap == cap), _not_checked(cap))


def decide(recording: Recording, catalog: Catalog) -> Proposal:
    return decide_all((recording,), catalog)


def decide_all(recordings: Sequence[Recording], catalog: Catalog) -> Proposal:
    """Judge several runs of one target together. The judgement on a check depends on what its own
    run held and how that run ended; a need is the strongest over all runs."""
    needs, seen = _needs(recordings, catalog)
    needs |= _undeliverable(needs, recordings)
    chosen = choose(needs.values(), catalog.preference)
    settled = {cap: _settle(need, chosen) for cap, need in needs.items()}
    settled |= {cap: _in_place_of(cap, needs) for cap in chosen if not _is_needed(settled.get(cap))}
    files = [file for item in recordings for file in item.image_files]
    settled |= {
        cap: replace(settled[cap], remediation=_remediation(settled[cap], files)) for cap in chosen
    }
    return Proposal(
        needs=tuple(
            replace(
                settled[cap],
                only=_only(settled[cap], seen[cap], recordings),
                seen=(seen[cap], len(recordings)),
            )
            for cap in sorted(settled)
        ),
        recommended=chosen,
        cautions=(*cautions_of(recordings), *remediation.cautions_of(recordings)),
        set_readers=tuple(
            dict.fromkeys(
                program
                for item in recordings
                for program, caps in item.own_set_readers
                if not caps and item.held.permitted > chosen
                if item.second_run is None or not item.second_run.own_sets
            )
        ),
    )


def _remediation(need: Need, files: Sequence[ImageFile]) -> str | None:
    if need.files:
        return remediation.without_file_caps(need.files, used=bool(need.evidence))
    return remediation.remediation_of(need.cap, files, need.evidence)


def _undeliverable(needs: dict[Cap, Need], recordings: Sequence[Recording]) -> dict[Cap, Need]:
    """Needs of a user other than root that were refused, because a folder of the host belongs to
    another user."""
    if not remediation.folders_of(recordings):
        return {}
    return {
        cap: replace(need, verdict=Verdict.DENIED, proof=Proof.NONE)
        for cap, need in needs.items()
        if need.verdict is Verdict.NEEDED
        and remediation.undeliverable(cap, ((x.effect, x.check.granted) for x in need.evidence))
    }


def _only(need: Need, seen: int, recordings: Sequence[Recording]) -> str | None:
    """Only a lifecycle distinguishes phases. A use that only one of several first starts made is no
    evidence for the phase."""
    if need.files:
        return None
    starts = [recording.start for recording in recordings]
    reloads = any(check.phase is Phase.RELOAD for one in recordings for check in one.checks)
    if len(need.phases) != 1 or not (reloads or any(start > 1 for start in starts)):
        return None
    seldom = need.phases == ("first-start",) and seen < starts.count(1)
    return None if seldom else _ONLY[need.phases[0]]


def _needs(
    recordings: Sequence[Recording], catalog: Catalog
) -> tuple[dict[Cap, Need], Counter[Cap]]:
    """The need for each capability by itself, and the number of runs in which it was needed."""
    by_cap: dict[Cap, list[Judged]] = {}
    seen: Counter[Cap] = Counter()
    for recording in recordings:
        needed = set()
        for cap, judged in _judged(recording, catalog):
            by_cap.setdefault(cap, []).append(judged)
            needed |= {cap} if judged.effect is Effect.NEEDED else set()
        seen.update(needed)
    needs = {cap: _need(cap, judged) for cap, judged in by_cap.items()}
    for need in _fixed_capsets(recordings):
        if not _is_needed(needs.get(need.cap)):
            needs[need.cap] = need
    for cap, files in _to_execute(recordings).items():
        known = needs.get(cap)
        if known is None or not (_is_needed(known) and known.evidence):
            known = Need(cap, Verdict.NEEDED, Proof.CALL_SITE, "")
        needs[cap] = _with_files(known, files)
    for recording in recordings:
        for cap, why in unseen(recording):
            known = needs.get(cap) or _not_checked(cap)
            if not _is_needed(known):
                needs[cap] = _settled_need(known, why, recording.second_run)
    return needs, seen


def _judged(recording: Recording, catalog: Catalog) -> Iterable[tuple[Cap, Judged]]:
    """Judge each check of one run, for its own capability and for those that it implies."""
    context = Context.of(recording, catalog.signs)
    judged = []
    for check in recording.checks:
        rule = catalog.sites.match(check.cap, check.place, own_mounts=context.own_mounts)
        judged.append(judge(check, rule, context))
    again = recording.second_run
    for item in one_question(judged):
        check = item.check
        for cap, one in ((check.cap, item), *implied(check, item.rule, context)):
            yield cap, _settled(cap, replace(one, start=recording.start), again)


def _settled(cap: Cap, judged: Judged, again: SecondRun | None) -> Judged:
    """Settle a doubt by a second run without the capability."""
    if again is None or not again.settles(cap):
        return judged
    if cap in again.needed and (judged.uncertain or judged.check.granted):
        return replace(
            judged,
            effect=Effect.NEEDED,
            alternatives=(),
            uncertain=None,
            lost=examples(again.lost(cap)),
            likely_optional=False,
            by_trial=True,
        )
    optional = judged.effect is Effect.NEEDED and again.rules_out(cap)
    return replace(judged, effect=Effect.OPTIONAL if optional else judged.effect, uncertain=None)


def _settled_need(known: Need, why: str, again: SecondRun | None) -> Need:
    """The same for a capability whose checks were not observed, which is why it is in doubt."""
    if again is None or not again.settles(known.cap):
        return replace(known, uncertain=why)
    if again.rules_out(known.cap):
        return known
    lost = examples(again.lost(known.cap))
    return Need(known.cap, Verdict.NEEDED, Proof.TRIAL, why, lost_without=lost)


# ------------------------------------------------------------------------------ one capability


_VERDICTS = {
    Effect.NEEDED: Verdict.NEEDED,
    Effect.OPTIONAL: Verdict.OPTIONAL,
    Effect.INCIDENTAL: Verdict.INCIDENTAL,
    Effect.DENIED: Verdict.DENIED,
}


def _need(cap: Cap, judged: Sequence[Judged]) -> Need:
    effect = max(item.effect for item in judged)
    ordered = sorted(judged, key=lambda item: (item.check.retried is None, -item.check.count))
    deciding = [item for item in ordered if item.effect == effect]
    others = [item for item in judged if item.effect != effect]
    optional = all(item.likely_optional for item in deciding)
    needed = effect is Effect.NEEDED and not optional
    return Need(
        cap=cap,
        verdict=Verdict.INCIDENTAL if optional else _VERDICTS[effect],
        proof=_proof(deciding) if needed else Proof.NONE,
        reason=_sentence(deciding),
        uncertain=_doubt(effect, ordered),
        lost_without=next(filter(None, (item.lost for item in deciding)), None),
        self_restricting=needed and any(item.self_restricting for item in deciding),
        evidence=(*deciding, *others),
    )


def _doubt(effect: Effect, judged: Sequence[Judged]) -> str | None:
    """One certain use makes a capability needed; one doubtful use makes it not certainly
    incidental."""
    deciding = [item.uncertain for item in judged if item.effect == effect]
    doubts = deciding if all(deciding) else []
    if effect is not Effect.NEEDED:
        doubts = [item.uncertain for item in judged if item.effect is Effect.INCIDENTAL] + doubts
    return next(filter(None, doubts), None)


def _proof(deciding: Sequence[Judged]) -> Proof:
    if any(item.by_trial for item in deciding):
        return Proof.TRIAL
    ways = {item.check.retried for item in deciding}
    if all(item.uncertain == UNKNOWN_SITE for item in deciding):
        return Proof.NONE
    if Retried.SHOWN in ways:
        return Proof.RETRY
    return Proof.NONE if ways == {Retried.REFUSED} else Proof.CALL_SITE


def _sentence(judged: Sequence[Judged]) -> str:
    """One sentence that says what it is for, with at most three uses. The meaning of a call site
    says more than the name of the call that failed."""
    meant = [item for item in judged if item.rule is not None]
    texts = list(dict.fromkeys(item.why for item in meant or judged))
    more = f"; and {counted(len(texts) - 3, 'more use')}" if len(texts) > 3 else ""
    return "; ".join(texts[:3]) + more


def _not_checked(cap: Cap) -> Need:
    return Need(cap, Verdict.NOT_CHECKED, Proof.NONE, "not checked")


def _fixed_capsets(recordings: Sequence[Recording]) -> Iterable[Need]:
    """Capabilities that a program sets by capset(2) though the kernel made no check for them:
    capset fails as a whole if one of them is not permitted, and only permitted ones can become
    ambient."""
    for cap in sorted(
        {
            cap
            for item in recordings
            for _, kept in item.fixed_capsets
            for cap in kept
            if item.second_run is None or not item.second_run.rules_out(cap)
        }
    ):
        yield Need(
            cap,
            Verdict.NEEDED,
            Proof.NONE,
            "calling capset(2) with a fixed set that contains it",
            uncertain="the program calls capset(2) with a fixed set; it may also run with less",
        )


def _to_execute(recordings: Sequence[Recording]) -> dict[Cap, dict[str, str]]:
    """Capabilities without which program files cannot be executed: the files by path, in words."""
    files: dict[Cap, dict[str, str]] = {}
    for file in (file for item in recordings for file in item.capable_files):
        for cap in file.caps:
            files.setdefault(cap, {})[file.path] = file.words
    return files


def _with_files(need: Need, files: dict[str, str]) -> Need:
    paths = tuple(sorted(files))
    why = f"cannot be executed without it: {files[paths[0]]}"
    if len(paths) > 1:
        why += f" (and {counted(len(paths) - 1, 'other file')})"
    reason = f"{need.reason}; {why}" if need.reason else why
    return replace(need, reason=reason, uncertain=None, files=paths)


# ------------------------------------------------------------------------------ the whole set


def choose(needs: Iterable[Need], preference: Sequence[Cap]) -> CapSet:
    """The smallest set that answers every question. Capabilities without an alternative come first;
    then the preference list decides about the questions that are still open."""
    questions: list[frozenset[Cap]] = []
    for need in needs:
        if need.verdict is Verdict.NEEDED and need.files:
            questions.append(frozenset({need.cap}))
        elif need.verdict is Verdict.NEEDED:
            questions += [
                frozenset({need.cap, *item.alternatives})
                for item in need.evidence
                if item.effect is Effect.NEEDED and not item.likely_optional
            ] or [frozenset({need.cap})]
    chosen = {cap for question in questions if len(question) == 1 for cap in question}
    rank = {cap: number for number, cap in enumerate(preference)}
    for question in sorted(set(questions), key=lambda q: (len(q), sorted(q))):
        if not question & chosen:
            chosen.add(min(question, key=lambda cap: (rank.get(cap, len(rank)), cap)))
    return frozenset(chosen)


def _settle(need: Need, chosen: CapSet) -> Need:
    """Name the alternatives, and say if another capability answers in place of this one."""
    if need.verdict is not Verdict.NEEDED:
        return replace(need, uncertain=_open_doubt(need, chosen))
    others = {cap for item in need.evidence for cap in item.alternatives}
    if need.cap in chosen:
        forced = bool(need.files) or any(
            item.effect is Effect.NEEDED and not (item.alternatives or item.likely_optional)
            for item in need.evidence
        )
        return need if forced else replace(need, alternatives=tuple((c,) for c in sorted(others)))
    answering = sorted(others & chosen)
    return replace(
        need,
        verdict=Verdict.INCIDENTAL,
        reason=f"{need.reason}: {' or '.join(cap.name for cap in answering)} would also be enough",
        uncertain=_open_doubt(replace(need, uncertain=None), chosen),
        alternatives=tuple((cap,) for cap in answering),
    )


def _open_doubt(need: Need, chosen: CapSet) -> str | None:
    """The doubt about a capability that is not in the set, unless another one that is in it would
    answer the same check."""
    left_out = [item for item in need.evidence if item.effect is Effect.INCIDENTAL]
    of_checks = {item.uncertain for item in left_out}
    open_ = [
        item.uncertain
        for item in left_out
        if item.rule is None or chosen.isdisjoint(item.rule.alternatives)
    ]
    if need.uncertain and need.uncertain not in of_checks:
        return need.uncertain  # it is about checks that were not observed
    return next(filter(None, open_), None)


def _is_needed(need: Need | None) -> bool:
    return need is not None and need.verdict is Verdict.NEEDED


def _in_place_of(cap: Cap, needs: dict[Cap, Need]) -> Need:
    """The need for a capability that was chosen to answer the checks of another one."""
    asked = [
        need for need in needs.values() if any(cap in item.alternatives for item in need.evidence)
    ]
    evidence = tuple(item for need in asked for item in need.evidence if cap in item.alternatives)
    return Need(
        cap,
        Verdict.NEEDED,
        _proof(evidence),
        _sentence(evidence),
        next((item.uncertain for item in evidence if all(i.uncertain for i in evidence)), None),
        alternatives=tuple((need.cap,) for need in asked),
        evidence=evidence,
    )


# ------------------------------------------------------------------------------ what was not seen


_SYS_PTRACE = Cap.parse("SYS_PTRACE")
_IO_URING = (
    *("DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "NET_RAW", "NET_BIND_SERVICE"),
    *("IPC_LOCK", "SYS_ADMIN"),
)
"""Capabilities that the kernel can check for operations of io_uring (open, rename, unlink, link,
socket, bind; buffers beyond the memlock limit; trusted.* attributes)."""
_MOST_NUMBERS = 5
"""A sentence lists the numbers of up to so many runs; it counts more."""


def unseen(recording: Recording) -> Iterable[tuple[Cap, str]]:
    """Capabilities whose checks may have escaped the recording, and why."""
    if recording.io_uring:
        for name in _IO_URING:
            yield (
                Cap.parse(name),
                "io_uring was used: the checks of its worker threads were not observed",
            )
    for program, caps in recording.own_set_readers:
        for cap in sorted(caps & recording.held.bounding):
            yield cap, f"{program} looks whether it holds it, and may end if not"
    if recording.lost.sys_admin:
        yield SYS_ADMIN, "events were dropped"
    if recording.lost.lookups:
        yield _SYS_PTRACE, "events were dropped"


def cautions_of(recordings: Sequence[Recording]) -> Iterable[str]:
    """The cautions of all runs, each once, with the numbers of its runs if there are several."""
    runs: dict[str, list[int]] = {}
    for number, recording in enumerate(recordings, 1):
        for caution in _cautions(recording):
            runs.setdefault(caution, []).append(number)
    for caution, numbers in runs.items():
        yield caution if len(recordings) == 1 else f"{_runs(numbers, len(recordings))}: {caution}"


def _runs(numbers: Sequence[int], of: int) -> str:
    if len(numbers) == of:
        return "each run"
    if len(numbers) > _MOST_NUMBERS:
        return f"{len(numbers)} of {of} runs"
    return f"run{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}"


ALREADY_RUNNING = "it was already running: its start was not observed"
WAS_STOPPED = "it was stopped: its later actions, such as a reload, were not observed"
RUN_FAILED = "the run failed: the needs of a successful run were not observed"


def _refused_by_the_host(recording: Recording) -> list[str]:
    """Calls that no capability of the target would have let through."""
    return sorted(
        {
            check.syscall
            for check in recording.checks
            if check.ns is Namespace.HOST and check.syscall and (check.result or 0) < 0
        }
    )


def trace_gaps(gaps: Iterable[str]) -> str:
    """The clause for a trace that others changed, or that missed a check of ours."""
    return f"the trace may have gaps ({', '.join(gaps)})"


def _cautions(recording: Recording) -> Iterable[str]:
    lost = recording.lost
    if lost.gaps:
        yield f"{trace_gaps(lost.gaps)}: needs can be missing"
    if lost.signal:
        yield f"{counted(lost.signal, 'event')} dropped: needs can be missing"
    if lost.sys_admin:
        yield (
            f"{counted(lost.sys_admin, 'event')} of {SYS_ADMIN} dropped: its absence is unconfirmed"
        )
    if lost.lookups:
        yield (
            f"{counted(lost.lookups, 'lookup')} in /proc dropped: "
            f"needs of {_SYS_PTRACE} can be missing"
        )
    yield from recording.cautions
    if recording.host.observer == "audit":
        yield "an audit log holds refusals only: it does not show what was granted and needed"
    elif recording.attached and not recording.restarted:
        yield ALREADY_RUNNING
    if recording.io_uring:
        yield "io_uring was used: the checks of its worker threads were not observed"
    if recording.interrupted:
        yield WAS_STOPPED
    elif recording.succeeded is False:
        yield RUN_FAILED
    if refused := _refused_by_the_host(recording):
        calls, are = ", ".join(refused), "is" if len(refused) == 1 else "are"
        yield (
            f"{calls} failed and {are} checked against the host's user namespace: "
            "capabilities in the target's own user namespace do not count for such a check"
        )
