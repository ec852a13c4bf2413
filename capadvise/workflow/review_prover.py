"""Make trials for the screens, and save their results in the report file."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from capadvise.catalog import default
from capadvise.judgement.conclusion import PassedSet
from capadvise.judgement.differences import compare
from capadvise.judgement.proven import Proven, Trial
from capadvise.judgement.report import Report
from capadvise.model.companion import Companion
from capadvise.model.errors import BadInput, CapadviseError
from capadvise.observe.ftrace.instances import require_place
from capadvise.proof.trials import choices, runner
from capadvise.proof.trials.stop import Stop
from capadvise.report.save import save
from capadvise.report.words import order_of
from capadvise.workflow.jobs import Candidate, job_of, with_check
from capadvise.workflow.proof import Reference, TrialListener, passing_reference, prove_job, today
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
        """An obstacle that no check removes comes first: a check would not help then."""
        why = self._obstacle(report)
        if why is None or report.workload.check is not None:
            return why
        checked = ReviewProver(self._path, self._before, saved=self._saved)
        return checked._obstacle(checked.with_check(report, "true")) or why

    def _obstacle(self, report: Report) -> str | None:
        try:
            if self._saved:
                require_trusted(self._path)
            self._job(report)
            require_place()
            _require_folder(report)
        except CapadviseError as error:
            return f"{error} ({error.hint})" if error.hint else str(error)
        return None

    def order(self, report: Report) -> Sequence[str]:
        return order_of(report) if self._saved else ()

    def wants_check(self, report: Report) -> bool:
        if report.workload.check is not None or self._obstacle(report) is None:
            return False
        checked = ReviewProver(self._path, self._before, saved=self._saved)
        return checked._obstacle(checked.with_check(report, "true")) is None

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

    def try_set(
        self, report: Report, chosen: PassedSet, starting: Starting, ended: Ended
    ) -> Report:
        caps = chosen.caps
        with Stop() as self._stop:
            if self._first is None:
                self._first = passing_reference(self._job(report), self._stop, starting)
            job, reference = self._first.job, self._first.outcome
            job = replace(job, beside=tuple(map(Companion.parse, chosen.beside)))
            everything = runner.everything(job)
            known = report.proven
            if known is None:
                first = Trial(everything, reference.passed, reference.seconds)
                ended(first)
                known = Proven(job.isolation, (first,), everything, complete=False)
            starting(chosen.caps, job.beside)
            outcome, _ = choices.run(job, caps, self._stop)
        lost = compare(reference.observed, outcome.observed) if outcome.passed else [outcome.why]
        trial = Trial(
            caps,
            outcome.passed,
            outcome.seconds,
            differences=tuple(lost),
            failed_at=outcome.failed_at,
            instead=chosen.beside,
        )
        ended(trial)
        best = known.minimal
        smaller = best is not None and len(caps) < len(best)
        if not known.complete and trial.passed and smaller and not chosen.beside:
            best = caps
        trials = (*known.trials, trial)
        proven = replace(known, trials=trials, minimal=best, date=today())
        return self._kept(replace(report, proven=proven))

    def stop(self) -> None:
        self._stop.ask()

    def _kept(self, report: Report) -> Report:
        save(self._path, report, default())
        return report


def _require_folder(report: Report) -> None:
    """A trial of a command begins in the folder of the recording."""
    folder = report.target.cwd
    if report.target.kind == "command" and folder and not Path(folder).is_dir():
        raise BadInput(
            f"the folder of the recording is gone: {folder}",
            hint="make it again, or record the command in another folder",
        )
