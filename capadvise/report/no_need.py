"""The answer where no need was seen. Pure."""

from __future__ import annotations

from capadvise.recording import Recording
from capadvise.report.model import Report

DROP_ALL = "No capability is needed: drop all."


def no_need(report: Report) -> str:
    """Only trials, or a whole recording, say that there is none."""
    if report.proposal.floor is not None:
        return DROP_ALL
    for run in report.recordings:
        if said := _left_open(run):
            return said
    if any(item.likely_optional for need in report.proposal.needs for item in need.evidence):
        return "Most likely no capability is needed; what is uncertain stands below."
    return DROP_ALL


def _left_open(run: Recording) -> str | None:
    """Why a run without needs does not say that there are none; None where it does."""
    if run.host.observer == "audit":
        return "The audit log shows no need for a capability; it records refusals only."
    if run.attached:
        return "No capability was needed while it was recorded."
    if run.lost.total:
        return "No need for a capability was seen, but events were dropped."
    if run.started_containers:
        return "The command itself needs no capability; what daemons ran for it was not recorded."
    if run.interrupted and run.still_running:
        return "No need for a capability was seen before it was stopped."
    if run.succeeded is False:
        return "No need for a capability was seen, but the run failed."
    if run.io_uring:
        return "No need for a capability was seen, but io_uring's workers were not observed."
    return None
