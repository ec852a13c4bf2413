"""The findings in GitLab's formats: a code quality report, for the remarks at a merge request, and
a report of static application security testing (SAST), for its security dashboard."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256

from capadvise import __version__
from capadvise.gate.finding import RULES, Finding, Severity
from capadvise.gate.machine import message, relative
from capadvise.gate.outcome import Outcome
from capadvise.model.escape import printable

_URL = "https://gitlab.com/gitlab-org/security-products/security-report-schemas/-/raw"
_QUALITY = {Severity.ERROR: "critical", Severity.WARNING: "minor", Severity.NOTE: "info"}
_SECURITY = {Severity.ERROR: "Critical", Severity.WARNING: "Medium", Severity.NOTE: "Info"}


def code_quality(outcome: Outcome) -> str:
    """Each finding that nobody accepts, and each file that could not be judged."""
    issues = [
        (
            _QUALITY[finding.severity],
            finding.rule,
            message(finding),
            finding.path,
            finding.line,
            name,
        )
        for name, finding in _named(outcome)
    ]
    issues += [
        ("blocker", "not-judged", printable(item.message), item.path, 1, _hash("", item.path))
        for item in outcome.unusable
    ]
    return json.dumps(
        [
            {
                **{"description": text, "check_name": rule, "severity": severity},
                "fingerprint": name,
                "location": {"path": relative(path), "lines": {"begin": line}},
            }
            for severity, rule, text, path, line, name in issues
        ],
        indent=1,
    )


def sast(outcome: Outcome) -> str:
    """The same for the dashboard. With a file that could not be judged, the scan failed."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    vendor = {"name": "capadvise"}
    tool = {"id": "capadvise", "name": "capadvise", "version": __version__, "vendor": vendor}
    messages = [{"level": "fatal", "value": printable(item.message)} for item in outcome.unusable]
    report = {
        "schema": f"{_URL}/v15.0.7/dist/sast-report-format.json",
        "version": "15.0.7",
        "scan": {
            **{"type": "sast", "analyzer": tool, "scanner": tool, "messages": messages},
            **{"start_time": now, "end_time": now},
            "status": "failure" if outcome.unusable else "success",
        },
        "vulnerabilities": [
            {
                "id": name,
                "name": RULES[finding.rule].summary[:255],
                "description": message(finding),
                "severity": _SECURITY[finding.severity],
                "solution": finding.advice or "Review it.",
                "identifiers": [
                    {"type": "capadvise_rule", "name": finding.rule, "value": finding.rule}
                ],
                "location": {"file": relative(finding.path), "start_line": finding.line},
            }
            for name, finding in _named(outcome)
        ],
    }
    return json.dumps(report, indent=1)


def _named(outcome: Outcome) -> Iterator[tuple[str, Finding]]:
    """Each finding that nobody accepts, with a name of its own that does not change when the lines
    of the file do."""
    count: Counter[tuple[str, ...]] = Counter()
    for each in outcome.findings:
        key = (relative(each.path), each.service, each.rule, each.thing)
        count[key] += 1
        if not each.accepted:
            yield _hash(*key, str(count[key])), each


def _hash(*texts: str) -> str:
    return sha256("\0".join(texts).encode(errors="replace")).hexdigest()
