"""The outcome for machines: JSON in our own schema, SARIF 2.1.0, and GitHub's workflow commands."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from capadvise.gate.finding import RULES, Finding, Reached, Severity
from capadvise.gate.outcome import Examined, JudgedService, Outcome
from capadvise.model.caps import names
from capadvise.model.escape import printable
from capadvise.report import sarif_log

SCHEMA = "capadvise.check/1"
Changes = Mapping[str, tuple[str, Sequence[tuple[int, int, str]]]]
"""Service → its file, and (first line, line after, text instead) of what ``--fix`` would write."""
FIXED = ("privileged", "add-all", "no-drop-all", "over-permissioned", "under-permissioned")
"""Rules whose finding a set of capabilities answers."""


def outcome_json(outcome: Outcome) -> str:
    """The whole outcome, in our own schema."""
    return json.dumps(
        {
            "schema": SCHEMA,
            "passed": outcome.passed,
            "strict": outcome.strict,
            "files": [_file(file) for file in outcome.files],
            "unusable": [
                {"path": item.path, "message": item.message, "hint": item.hint}
                for item in outcome.unusable
            ],
            "skipped": outcome.skipped,
        },
        indent=1,
    )


def _file(file: Examined) -> dict[str, Any]:
    return {
        "paths": list(file.source.paths),
        "format": file.source.language.name,
        "services": [_service(service) for service in file.services],
        "pods": [_pod(pod) for pod in file.source.pods],
        "findings": [_finding(finding) for finding in file.remarks],
    }


def _service(service: JudgedService) -> dict[str, Any]:
    return {
        "name": service.name,
        "path": service.path,
        "line": service.line,
        "granted": names(service.granted),
        "report": service.report,
        "exact": service.exact if service.report is not None else None,
        "findings": [_finding(finding) for finding in service.findings],
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "rule": finding.rule,
        "severity": str(finding.severity),
        "path": finding.path,
        "line": finding.line,
        "what": finding.what,
        "why": finding.why,
        "remedy": finding.advice,
        "snippet": finding.snippet or None,
        "accepted": finding.accepted or None,
    }


def _pod(pod: Reached) -> dict[str, Any]:
    return {
        "pod": pod.pod,
        "line": pod.line,
        "pod_security": str(pod.level),
        "violations": [
            {
                "level": str(violation.level),
                "control": violation.control,
                "what": violation.what,
                "line": violation.line,
            }
            for violation in pod.violations
        ],
    }


# ------------------------------------------------------------------------------ SARIF


def outcome_sarif(outcome: Outcome, changes: Changes) -> str:
    """For code scanning. With a file that could not be judged, the run did not succeed."""
    ids = list(RULES)
    log = sarif_log.log(
        (sarif_log.rule(name, rule.summary, rule.severity) for name, rule in RULES.items()),
        (
            _result(finding, ids.index(finding.rule), changes)
            for finding in (*outcome.findings, *_levels(outcome))
        ),
        (("error", printable(item.message)) for item in outcome.unusable),
        succeeded=not outcome.unusable,
    )
    return json.dumps(log, indent=1)


def _result(finding: Finding, index: int, changes: Changes) -> sarif_log.Json:
    place = {
        "physicalLocation": {
            "artifactLocation": {"uri": _uri(finding.path)},
            "region": {"startLine": finding.line},
        },
        "logicalLocations": [{"name": printable(finding.service)}],
    }
    more: sarif_log.Json = {}
    path, edits = changes.get(finding.service, ("", ()))
    if edits and finding.rule in FIXED:
        more["fixes"] = [_fix(path, edits)]
    if finding.accepted:
        suppression = {"kind": "external", "justification": printable(finding.accepted)}
        more["suppressions"] = [suppression]
    level = str(finding.severity)
    return sarif_log.result(finding.rule, index, level, message(finding), place, **more)


_REGION = ("startLine", "startColumn", "endLine", "endColumn")


def _fix(path: str, edits: Sequence[tuple[int, int, str]]) -> sarif_log.Json:
    replacements = [
        {
            "deletedRegion": dict(zip(_REGION, (start, 1, end, 1), strict=True)),
            "insertedContent": {"text": text},
        }
        for start, end, text in edits
    ]
    change = {"artifactLocation": {"uri": _uri(path)}, "replacements": replacements}
    said = "Give the service the set that its report recommends."
    return {"description": {"text": said}, "artifactChanges": [change]}


def _levels(outcome: Outcome) -> Iterator[Finding]:
    """The Pod Security level of each pod that no finding names already."""
    for file in outcome.files:
        said = {finding.service for finding in file.remarks if finding.rule == "pod-security"}
        for pod in file.source.pods:
            if pod.pod not in said:
                yield Finding(
                    "pod-security",
                    Severity.NOTE,
                    pod.pod,
                    file.source.paths[0],
                    pod.line,
                    f"its Pod Security level is {pod.level}",
                    _obstacles(pod),
                    "`--require` fails the gate below a level.",
                )


def _obstacles(pod: Reached) -> str:
    what = "; ".join(printable(violation.what) for violation in pod.violations)
    return f"For the next level, change: {what}." if what else "It is the strictest."


def message(finding: Finding) -> str:
    """All of a finding, in sentences."""
    of = f"{printable(finding.service)}: " if finding.service else ""
    return f"{of}{finding.what}. {finding.why} {finding.advice}"


def relative(path: str) -> str:
    """A path, relative to the working directory if it lies below, as code scanning wants it."""
    place = Path(path)
    below = place.is_absolute() and place.is_relative_to(Path.cwd())
    return printable(str(place.relative_to(Path.cwd()) if below else place))


def _uri(path: str) -> str:
    place = Path(path)
    if place.is_absolute() and not place.is_relative_to(Path.cwd()):
        return place.as_uri()
    return quote(os.fsencode(place.relative_to(Path.cwd()) if place.is_absolute() else place))


# ------------------------------------------------------------------------------ GitHub


def outcome_github(outcome: Outcome) -> Iterator[str]:
    """Yield workflow commands of GitHub: each finding becomes a remark at its line."""
    for item in outcome.unusable:
        yield f"::error file={_property(item.path)}::{_data(printable(item.message))}"
    for finding in (*outcome.findings, *_levels(outcome)):
        if finding.accepted:
            continue
        place = f"file={_property(finding.path)},line={finding.line}"
        title = f"title={_property(f'capadvise {finding.rule}')}"
        level = "notice" if finding.severity is Severity.NOTE else finding.severity
        yield f"::{level} {place},{title}::{_data(message(finding))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(printable(text)).replace(":", "%3A").replace(",", "%2C")
