"""``capadvise review``: the screens on a saved report."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from capadvise.caps import CapSet
from capadvise.catalog import default
from capadvise.differences import compare
from capadvise.errors import BadInput, CapadviseError, Exit
from capadvise.prove import TrialOutcome
from capadvise.proven import Proven, Trial
from capadvise.report.load import load
from capadvise.report.model import Report
from capadvise.report.save import save

if TYPE_CHECKING:
    from capadvise.linux.trials.runner import Job
    from capadvise.tui.app import CapadviseApp
    from capadvise.tui.protocols import Ended, Starting


def command(args: argparse.Namespace) -> int:
    """Open the review."""
    path = Path(args.report)
    report = load(path, default())
    if not all(stream and stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        raise BadInput(
            "review needs a terminal",
            hint=f"capadvise explain {shlex.quote(args.report)} says the same as text",
        )
    return review(report, path).return_code or Exit.OK


def review(report: Report, path: Path) -> CapadviseApp:
    """The screens, until the user leaves. What is proven is saved at ``path``. The app holds an
    exit code."""
    from capadvise.tui.app import CapadviseApp
    from capadvise.tui.look import ask_background, theme
    from capadvise.tui.review import ReviewView

    look = theme(os.environ, ask_background(sys.stdin.fileno()))
    app = CapadviseApp(lambda: ReviewView(report, default(), path, prover=Trials(path)), theme=look)
    app.run()
    return app


class Trials:
    """Runs trials for the screens, and keeps what comes of them in the report file."""

    def __init__(self, path: Path) -> None:
        from capadvise.linux.trials.runner import Stop

        self._path = path
        self._stop = Stop()
        self._check: str | None = None
        """Given on the screen, after the recorded run."""
        self._first: TrialOutcome | None = None
        """What came of the trial with everything."""

    def obstacle(self, report: Report) -> str | None:
        """Why no trial can be made of this report here; None where they can."""
        from capadvise.linux.ftrace.instances import require_place

        try:
            self._job(report)
            require_place()
        except CapadviseError as error:
            return f"{error} ({error.hint})" if error.hint else str(error)
        return None

    def wants_check(self, report: Report) -> bool:
        """Whether a check would help."""
        if report.target.kind != "command" or report.workload.check is not None:
            return False
        checked = Trials(self._path)
        return self.obstacle(report) is not None and not checked.obstacle(
            checked.with_check(report, "true")
        )

    def with_check(self, report: Report, check: str) -> Report:
        """The report with a check that the recorded run knew nothing of. What the user had to stop
        is checked while it runs."""
        self._check, self._first = check, None
        kind = "daemon" if report.recording.interrupted else report.workload.kind
        return replace(report, workload=replace(report.workload, kind=kind, check=check))

    def _job(self, report: Report) -> Job:
        from capadvise.commands.prove import job_of

        new = self._check is not None and self._check == report.workload.check
        return job_of(report, isolate=True, new_check=new)

    def prove(self, report: Report, starting: Starting, ended: Ended) -> Report:
        """Search for the floor."""
        from capadvise.commands.prove import Watch, prove_job
        from capadvise.linux.trials.runner import Stop

        self._stop = Stop()
        watch = Watch(lambda _: None, starting, ended, lambda *_: None)
        job = self._job(report)
        return self._kept(prove_job(job, report, self._stop, watch, name=report.target.name))

    def try_set(self, report: Report, caps: CapSet, starting: Starting, ended: Ended) -> Report:
        """One trial of a set, compared with one that has everything."""
        from capadvise.linux.trials import runner

        self._stop = stop = runner.Stop()
        job = self._job(report)
        everything = runner.everything(job)
        known = report.proven
        if self._first is None:
            starting(everything)
            self._first, _ = runner.run(job, everything, stop)
        if not self._first.passed:
            why, self._first = self._first.why, None
            raise runner.BrokenTrial(f"it does not pass even with everything: {why}")
        first = Trial(everything, self._first.passed, self._first.seconds)
        if known is None:
            ended(first)
            known = Proven(job.isolation, (first,), everything, complete=False)
        starting(caps)
        outcome, _ = runner.run(job, caps, stop)
        lost = compare(self._first.observed, outcome.observed) if outcome.passed else [outcome.why]
        trial = Trial(caps, outcome.passed, outcome.seconds, differences=tuple(lost))
        ended(trial)
        best = known.floor
        if not known.complete and trial.passed and best is not None and len(caps) < len(best):
            best = caps
        proven = replace(known, trials=(*known.trials, trial), floor=best)
        return self._kept(replace(report, proven=proven))

    def stop(self) -> None:
        """End the trials under way."""
        self._stop.ask()

    def _kept(self, report: Report) -> Report:
        save(self._path, report, default())
        return report
