"""A container whose user may not write to a folder of another owner: a trial says whether it works
once the folder is given to it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace

from capadvise.judgement import foreign
from capadvise.judgement.report import Report
from capadvise.model.workload import ONE_START
from capadvise.proof.trials import choices
from capadvise.proof.trials.runner import Job
from capadvise.proof.trials.stop import Stop
from capadvise.workflow.check_proposal import check_proposal
from capadvise.workflow.jobs import Ways, job_of
from capadvise.workflow.notice import notice


def stands_in_the_way(report: Report) -> bool:
    """Whether the recorded run failed for want of such a folder."""
    return report.recording.succeeded is False and any(foreign.cautions_of(report.recordings))


def with_folders_given(report: Report, before: Mapping[str, str] | None, stop: Stop) -> Report:
    """The report, with a caution that says what came of the trial. Raises BrokenTrial where none
    could be made."""
    folder, *_ = foreign.folders_of(report.recordings)
    said = came_of(replace(one_start(report, before), owner=folder.user), report, stop)
    caution = f"tried by a trial: once {folder.source} belongs to user {folder.user}, {said}"
    notice(caution)
    notice(f"not proven yet: {foreign.advice(folder)}, and run this again")
    return with_caution(report, caution)


def one_start(report: Report, before: Mapping[str, str] | None) -> Job:
    """A trial of what has failed in its recording."""
    check = report.workload.check or check_proposal(report)
    job = job_of(report, Ways(), new_check=True, before=before)
    work = replace(job.workload, kind="daemon", check=check, steps=ONE_START)
    return replace(job, workload=work)


def came_of(job: Job, report: Report, stop: Stop) -> str:
    """Whether it works now. Raises BrokenTrial where no trial could be made."""
    outcome, _ = choices.run(job, report.proposal.recommended, stop)
    works = outcome.passed or outcome.observed.exit_status == os.EX_OK
    return "it works" if works else f"it still fails: {outcome.why}"


def with_caution(report: Report, caution: str) -> Report:
    """What was tried, in the report."""
    recording, *rest = report.recordings
    recording = replace(recording, cautions=(*recording.cautions, caution))
    return replace(
        report,
        recordings=(recording, *rest),
        proposal=replace(report.proposal, cautions=(*report.proposal.cautions, caution)),
    )
