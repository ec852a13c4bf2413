"""What a health check could look like, where there is none: by what was seen of the target."""

from __future__ import annotations

import re
from dataclasses import replace

from capadvise.judgement.report import Report
from capadvise.model.workload import still_running

_PORT = re.compile(r"tcp .*:(\d+)$")
_SECONDS = 5
"""A target that lives so long has not failed at its start."""


_CONNECTS = "exec 3<>/dev/tcp/127.0.0.1/{port}"
_LIVES = f'sleep {_SECONDS}; kill -0 "${{PIDS%%,*}}"'
CHECKS = (
    "a check is a shell command that exits with 0 when the target works: for one that listens on "
    f"port 80, '{_CONNECTS.format(port=80)}'; for one that is to live {_SECONDS} s, '{_LIVES}'"
)
"""One sentence, where nothing was seen of the target yet."""


def check_proposal(report: Report) -> str:
    """A shell command that passes when the target works: that something listens on a port that it
    was seen to bind, else that it lives."""
    container = report.target.kind == "container"
    for recording in report.recordings:
        for check in recording.checks:
            port = _PORT.match(check.detail or "")
            if check.syscall == "bind" and port and int(port[1]) and not container:
                return _CONNECTS.format(port=port[1])
    if container:
        return still_running(report.target.engine or "docker", _SECONDS)
    return _LIVES


def how_to_check(report: Report) -> str:
    """One sentence on how to write one."""
    return (
        "a check is a shell command that exits with 0 when the target works: "
        f"--check '{check_proposal(report)}'"
    )


def with_check(report: Report, check: str) -> Report:
    """The report with a check that the recorded run knew nothing of. What was
    stopped, and did not end by itself, is checked while it runs."""
    stopped = report.recording.interrupted or report.was_stopped
    kind = "daemon" if stopped else report.workload.kind
    return replace(report, workload=replace(report.workload, kind=kind, check=check))
