"""What recordings and trials have exercised, and what they have not. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from capadvise.report.escape import printable
from capadvise.report.model import Report
from capadvise.workload import TWO_RUNS, Act, Workload, implicit_check

_LONGEST = 100
"""Characters of a health check that are shown."""
_ACTS = {
    Act.CHECK: "health check",
    Act.EXEC: "a command",
    Act.RELOAD: "reload",
}


def tested_lines(report: Report) -> Iterator[str]:
    """``Tested: …`` and ``Not tested: …``; nothing for audit logs and for what was already running,
    whose cautions say it."""
    proven, workload = report.proven, report.workload
    if proven is not None and proven.floor is not None and not proven.flaky:
        yield f"Tested in each trial: {_trial(workload)}."
        yield f"Not tested: {_not_tested(workload)}."
    elif report.recording.host.observer != "audit" and not report.recording.attached:
        runs = "one run" if len(report.recordings) == 1 else f"{len(report.recordings)} runs"
        later = "later starts, stops, reloads, and " if workload.kind == "daemon" else ""
        yield f"Recorded: {runs}. Not recorded: {later}whatever the program did not do meanwhile."


def _trial(workload: Workload) -> str:
    if workload.kind == "oneshot" and workload.steps in (None, TWO_RUNS):
        runs = "one run" if workload.steps is None else "two runs, on the same data"
        return f"{runs}, judged by " + (
            "its exit status" if workload.check is None else f"its health check{_check(workload)}"
        )
    if workload.steps is None:
        check = f"start, health check{_check(workload)}"
        return f"{check}, stop; then start and health check again on the data of the first start"
    rounds = [", ".join(["start", *(_ACTS[step.act] for step in one)]) for one in workload.rounds]
    stop = ", stop" if workload.kind == "daemon" else ""
    return "; then ".join(f"{steps}{stop}" for steps in rounds)


def _check(workload: Workload) -> str:
    if workload.check is None:
        return ""
    words = implicit_check(workload.check) or " ".join(workload.check.split())
    return f" ({printable(words if len(words) <= _LONGEST else words[: _LONGEST - 1] + '…')})"


def _not_tested(workload: Workload) -> str:
    if workload.kind == "oneshot":
        return "other arguments, input and files"
    acts = {step.act for one in workload.rounds for step in one}
    reload = "" if Act.RELOAD in acts else "reloads, and "
    return f"{reload}whatever the health check does not use"
