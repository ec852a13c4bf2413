"""Find out if a container works without a capability whose calls its seccomp profile can open."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial

from capadvise.catalog import default
from capadvise.judgement.differences import Comparisons, Observed, examples
from capadvise.judgement.opening import (
    Additions,
    Opening,
    filtered_calls,
    forbidding_use,
    made_namespaces,
    recorded_calls,
)
from capadvise.judgement.proven import Interrupted, Proven, TrialOutcome
from capadvise.judgement.report import Report
from capadvise.model.caps import Cap, CapSet
from capadvise.model.errors import BadInput
from capadvise.model.seccomp_profile import UNFILTERED, SeccompProfile
from capadvise.proof.attempts import Attempt
from capadvise.proof.opening import OpeningTrial, grown, shrunk
from capadvise.proof.trials import choices, runner
from capadvise.proof.trials.stop import Stop
from capadvise.targets.client.invocation import recognize
from capadvise.targets.containers.default_profile import default_profiles
from capadvise.workflow.jobs import job_of
from capadvise.workflow.notice import notice, progress
from capadvise.workflow.proof import first_trial
from capadvise.workflow.prove import with_more
from capadvise.workflow.side_by_side import SideBySide

_SIDE_BY_SIDE = 4


def require_containers(jobs: Iterable[runner.Job]) -> None:
    """Raise BadInput unless all of them are containers."""
    if any(job.isolation != "container" for job in jobs):
        raise BadInput("--without is for containers: it opens the seccomp profile of their engine")


def needs_proof(report: Report | None) -> bool:
    """True if no trials show whether there is a minimal set."""
    proven = report.proven if report else None
    return proven is None or not proven.conclusive


def opened(cap: Cap, report: Report, job: runner.Job | None = None) -> Report:
    """Try to do without a capability of the minimal set, and return the report with the result; the
    same report if nothing can be tried. ``job``: the container's trials, if they differ from those
    that the report leads to."""
    proven = report.proven
    if proven is None or not proven.conclusive:
        notice(f"not tried without {cap.short}: that takes a proven set")
        return report
    if proven.minimal is not None and cap not in proven.minimal:
        notice(f"{report.target.name} works without {cap.short} as it is")
        return report

    def prove(stop: Stop) -> Proven:
        trials = _Trials(report, cap, job or job_of(report), stop)
        return replace(proven, opening=trials.opening())

    return with_more(report, f"not tried without {cap.short}", prove)


class _Trials:
    def __init__(self, report: Report, cap: Cap, job: runner.Job, stop: Stop) -> None:
        self._report, self._cap, self._job, self._stop = report, cap, job, stop
        self._made = 0
        self._evidence: runner.TrialEvidence | None = None
        """The evidence of the latest trial that looks for calls."""

    def opening(self) -> Opening:
        report, cap = self._report, self._cap
        caps = report.proposal.recommended - {cap}
        progress(f"{report.target.name}: trying without {cap.short}")
        open_to_all = Additions(unmasked=True).companions
        unfiltered = replace(self._job, profile=UNFILTERED.text(), beside=open_to_all)
        reference = first_trial(unfiltered, self._stop, lambda *_: None)
        if not reference.outcome.passed:
            why = reference.outcome.why
            raise runner.BrokenTrial(f"it fails even with every capability and call: {why}")
        engine, profile, more = self._profiles(caps)
        closed = tuple(filter(profile.refuses, default().syscalls.numbers["x86_64"]))
        self._job = replace(reference.job, profile=profile.text(), closable=closed)
        first = Additions().plus(recorded_calls(report.recordings, profile))
        if whole := grown(first, Additions().plus(more), partial(self._grow, caps)):
            return self._smallest(caps, whole, engine, profile)
        mac, seen = report.posture.mac, self._evidence.recordings if self._evidence else ()
        why = forbidding_use(seen, cap, default(), mac) or "the trials do not tell which use"
        return Opening(cap, caps, (), False, engine, None, forbidden=why, trials=self._made)

    def _profiles(self, caps: CapSet) -> tuple[str, SeccompProfile, frozenset[str]]:
        """The engine, its default profile for this set, and the calls that the capability opens."""
        invocation = recognize(self._job.argv)
        assert invocation is not None
        sets = caps, caps | {self._cap}
        engine, (profile, more) = default_profiles(invocation, self._report.target.service, sets)
        before, after = profile.allowed(), more.allowed()
        opens = frozenset(call for call in after if after[call] != before.get(call))
        return engine, profile, opens

    def _tried(self, caps: CapSet, more: Additions) -> runner.Part:
        self._made += 1
        job = replace(self._job, beside=more.companions, observed=True)
        return choices.run(job, caps, self._stop)

    def _grow(self, caps: CapSet, more: Additions) -> OpeningTrial:
        outcome, self._evidence = self._tried(caps, more)
        seen = self._evidence.recordings
        progress(f"  {_line(more, outcome)}")
        return OpeningTrial(
            outcome.passed, outcome.why, filtered_calls(seen), made_namespaces(seen)
        )

    def _smallest(
        self, caps: CapSet, whole: Additions, engine: str, profile: SeccompProfile
    ) -> Opening:
        first = self._tried(caps, whole)[0]
        if not first.passed:
            raise runner.BrokenTrial(f"the same trial passed and failed: {first.why}")

        def again() -> Observed | None:
            outcome = self._tried(caps, whole)[0]
            return outcome.observed if outcome.passed else None

        comparisons = Comparisons(first.observed, again)

        def run(attempt: Attempt, _: bool, stop: Stop) -> TrialOutcome:
            self._made += 1
            return choices.run(replace(self._job, beside=attempt.beside), attempt.caps, stop)[0]

        def lost(more: Additions) -> str | None:
            outcome = trials(caps, more.companions)
            progress(f"  {_line(more, outcome)}")
            if not outcome.passed:
                return outcome.why or "its check failed"
            less = comparisons.lost(first.observed, outcome.observed)
            return f"lost: {examples(less)}" if less else None

        def ahead(each: Sequence[Additions]) -> None:
            trials.ahead([Attempt(caps, more.companions) for more in each])

        with SideBySide(run, self._stop, 1 if self._job.alone else _SIDE_BY_SIDE) as trials:
            try:
                smallest, needed = shrunk(whole, lost, ahead)
                outcome = trials(caps, smallest.companions)
            except Interrupted:
                if trials.broken is None:
                    raise
                raise trials.broken from None
        if not outcome.passed:
            raise runner.BrokenTrial(f"the smallest opening passed and failed: {outcome.why}")
        refused: Iterable[str] = ()
        if "apparmor" not in self._report.recording.host.lsm:
            known = default().seccomp
            refused = known.get(engine.partition(" ")[0], known["docker"]).apparmor
        return Opening(
            *(self._cap, caps, tuple(sorted(smallest.calls)), smallest.unmasked, engine, profile),
            needed,
            refused_by_mac=tuple(sorted(smallest.names.intersection(refused))),
            trials=self._made,
        )


def _line(more: Additions, outcome: TrialOutcome) -> str:
    result = "passes" if outcome.passed else f"fails: {outcome.why}"
    words = "+".join(one.words for one in more.companions)
    return f"{words} {result} ({outcome.seconds:.1f} s)"[:160]
