"""What ``watch --json`` writes: an object a line, flat as the journal's own. ``watch_schema.json``
describes it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from capadvise.judgement.watched import WatchFinding
from capadvise.report.cure import cure
from capadvise.report.watch_text import finding_line, summary_lines

SCHEMA = "capadvise.watch/1"
_WARNING, _INFO = 4, 6
"""Levels of syslog(3)."""


def finding_json(finding: WatchFinding, time: str, against: str | None = None) -> str:
    """A line for a new finding."""
    return _line("refusal", time, finding_line(finding, against), _fields(finding, against))


def summary_json(
    findings: Iterable[WatchFinding], seconds: float, time: str, *, dropped: int
) -> Iterable[str]:
    """A line for each finding with its count so far, and one for all."""
    findings = list(findings)
    for finding in findings:
        yield _line("count", time, finding_line(finding), _fields(finding, None))
    first = next(summary_lines(findings, seconds, dropped=dropped, everything=False))
    more = {"seconds": round(seconds, 1), "findings": len(findings), "dropped": dropped}
    yield _line("summary", time, first, more)


def _fields(finding: WatchFinding, against: str | None) -> dict[str, Any]:
    call, owner = finding.call, finding.call.owner
    return {
        "owner": owner.name,
        "owner_kind": str(owner.kind),
        "engine": owner.engine,
        "project": owner.project,
        "pod": owner.pod,
        "container": owner.container,
        "program": call.program,
        "pid": call.pid,
        "uid": call.uid,
        "syscall": call.syscall,
        "about": call.about,
        "errno": finding.errno,
        "by": str(finding.by),
        "caps": [cap.name for cap in finding.caps],
        "evidence": finding.evidence,
        "cure": None if finding.hidden else cure(finding),
        "harmless": finding.hidden,
        "against": against,
        "number": finding.number,
        "count": max(1, finding.count),
    }


def _line(event: str, time: str, message: str, fields: dict[str, Any]) -> str:
    refused = event == "refusal" and not fields["harmless"]
    head = {
        "schema": SCHEMA,
        "event": event,
        "time": time,
        "PRIORITY": _WARNING if refused else _INFO,
        "MESSAGE": message,
    }
    return json.dumps(head | fields, ensure_ascii=True)
