"""Harden: find options of systemd that a unit works with, once its set is proven."""

from collections.abc import Iterable
from dataclasses import replace

from capadvise.judgement.flags import gains_nothing
from capadvise.judgement.hardening import OPTION_KEYS, Hardening, largest, propose
from capadvise.judgement.proven import Proven, TrialOutcome
from capadvise.judgement.report import Report
from capadvise.model.companion import Companion, CompanionKind
from capadvise.model.errors import BadInput
from capadvise.model.wording import counted
from capadvise.proof.trials import runner
from capadvise.proof.trials.stop import Stop
from capadvise.targets.systemd import manager
from capadvise.workflow.jobs import Ways, job_of
from capadvise.workflow.notice import notice, progress
from capadvise.workflow.prove import with_more


def for_units_only() -> BadInput:
    """The error for any other target than a unit."""
    return BadInput(
        "--harden is for systemd units: it tries options of systemd",
        hint="capadvise run --harden -- systemctl restart UNIT",
    )


def require_units(jobs: Iterable[runner.Job]) -> None:
    """Raise BadInput unless all of them are units."""
    if any(job.isolation != "unit" for job in jobs):
        raise for_units_only()


def hardened(report: Report, job: runner.Job | None = None, ways: Ways | None = None) -> Report:
    """Try options of systemd, and return the report with the result; the same report if its set is
    not proven or Ctrl-C ends the trials. ``job``: the unit's trials, if they differ from those that
    the report leads to."""
    proven = report.proven
    if proven is None or proven.minimal is None or not proven.conclusive:
        notice("not hardened: options are only tried with a set that is proven")
        return report

    def harden(stop: Stop) -> Proven:
        return replace(
            proven, hardening=_hardening(report, job or job_of(report, ways or Ways()), stop)
        )

    return with_more(report, "not hardened", harden)


def _hardening(report: Report, job: runner.Job, stop: Stop) -> Hardening:
    name, caps = report.target.name, report.proposal.recommended
    unit = report.target.unit
    before = manager.exposure(unit)
    present = manager.confined_by(unit, OPTION_KEYS)
    gains = gains_nothing(report)
    proposed = propose(report.recordings, caps, present, gains_nothing=gains)
    rated: dict[tuple[str, ...], str | None] = {}

    def tried(lines: tuple[str, ...], what: str) -> tuple[TrialOutcome, runner.TrialEvidence]:
        beside = tuple(Companion(CompanionKind.UNIT_LINE, line) for line in lines)
        outcome, evidence = runner.run_once(replace(job, beside=beside), caps, stop)
        rated[lines] = evidence.exposure
        result = "passes" if outcome.passed else "fails"
        why = "" if outcome.passed else f": {outcome.why}"
        progress(f"  {what}: {result} ({outcome.seconds:.1f} s){why}"[:160])
        return outcome, evidence

    progress(f"{name}: trying {counted(len(proposed.lines), 'option')} of systemd")
    alone, evidence = tried((), "without any")
    if not alone.passed:
        raise runner.BrokenTrial(f"a trial without any option failed: {alone.why}")
    job = replace(job, stop=evidence.stop)  # later ones have to stop as this one did

    def works(lines: tuple[str, ...]) -> str | None:
        what = lines[0] if len(lines) == 1 else f"with {len(lines)}, {lines[-1]} the last"
        outcome, _ = tried(lines, what)
        return None if outcome.passed else outcome.why or "its check failed"

    lines, failed = largest(proposed.lines, works)
    after = rated[lines]
    exposure = (before, after) if before and after else None
    return Hardening(caps, lines, (*proposed.left_out, *failed), len(rated), exposure)
