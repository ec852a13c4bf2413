"""Make trials for the screens, and save their results in the report file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from capadvise.catalog import default
from capadvise.judgement.differences import compare
from capadvise.judgement.proven import Proven, Trial, TrialOutcome
from capadvise.judgement.report import Report
from capadvise.model.caps import CapSet
from capadvise.model.errors import CapadviseError
from capadvise.observe.ftrace.instances import require_place
from capadvise.proof.trials import choices, runner
from capadvise.proof.trials.stop import Stop
from capadvise.report.order import order_of
from capadvise.report.save import save
from capadvise.workflow.jobs import Candidate, job_of, with_check
from capadvise.workflow.proof import Reference, TrialListener, first_trial, prove_job, today
from capadvise.workflow.protocols import Ended, Starting
from capadvise.workflow.trust import require_trusted


class ReviewProver:
    """A ``protocols.Prover``. It saves its results in the report's file."""

    def __init__(
        self, path: Path, before: Mapping[str, str] | None = None, *, saved: bool = False
    ) -> None:
        """``before``: the data that was kept before the recording. ``saved``: the report was read
        from its file, so its command need not be the user's."""
        self._path, self._before, self._saved = path, before, saved
        self._stop = Stop()
        self._check: str | None = None
        """A check that the user gave on the screen, after the recorded run."""
        self._first: Reference | None = None
        """The trial with everything, once it was made."""

    def obstacle(self, report: Report) -> str | None:
        try:
            if self._saved:
                require_trusted(self._path)
            self._job(report)
            require_place()
        except CapadviseError as error:
            return f"{error} ({error.hint})" if error.hint else str(error)
        return None

    def order(self, report: Report) -> Sequence[str]:
        return order_of(report) if self._saved else ()

    def wants_check(self, report: Report) -> bool:
        if report.workload.check is not None:
            return False
        checked = ReviewProver(self._path, self._before, saved=self._saved)
        return self.obstacle(report) is not None and not checked.obstacle(
            checked.with_check(report, "true")
        )

    def with_check(self, report: Report, check: str) -> Report:
        self._check, self._first = check, None
        return with_check(report, check)

    def _job(self, report: Report) -> runner.Job:
        new = self._check is not None and self._check == report.workload.check
        return job_of(report, new_check=new, before=self._before)

    def prove(self, report: Report, starting: Starting, ended: Ended) -> Report:
        listener = TrialListener(lambda _: None, starting, ended, lambda *_: None)
        candidate = Candidate(report.target.name, self._job(report), report)
        with Stop() as self._stop:
            return self._kept(prove_job(candidate, self._stop, listener, os.cpu_count() or 1))

    def try_set(self, report: Report, caps: CapSet, starting: Starting, ended: Ended) -> Report:
        with Stop() as self._stop:
            job, reference = self._reference(self._job(report), starting)
            everything = runner.everything(job)
            known = report.proven
            if known is None:
                first = Trial(everything, reference.passed, reference.seconds)
                ended(first)
                known = Proven(job.isolation, (first,), everything, complete=False)
            starting(caps)
            outcome, _ = choices.run(job, caps, self._stop)
        lost = compare(reference.observed, outcome.observed) if outcome.passed else [outcome.why]
        trial = Trial(
            caps,
            outcome.passed,
            outcome.seconds,
            differences=tuple(lost),
            failed_at=outcome.failed_at,
        )
        ended(trial)
        best = known.minimal
        if not known.complete and trial.passed and best is not None and len(caps) < len(best):
            best = caps
        trials = (*known.trials, trial)
        proven = replace(known, trials=trials, minimal=best, date=today())
        return self._kept(replace(report, proven=proven))

    def _reference(self, job: runner.Job, starting: Starting) -> tuple[runner.Job, TrialOutcome]:
        """Make the trial with everything, if it was not made before."""
        if self._first is None:
            first = first_trial(job, self._stop, starting)
            if not first.outcome.passed:
                raise runner.BrokenTrial(
                    f"it does not pass even with everything: {first.outcome.why}"
                )
            self._first = first
        return self._first.job, self._first.outcome

    def stop(self) -> None:
        self._stop.ask()

    def _kept(self, report: Report) -> Report:
        save(self._path, report, default())
        return report
