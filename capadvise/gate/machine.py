"""The outcome for machines: JSON of our own, SARIF 2.1.0, and GitHub's workflow commands."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from capadvise import __version__
from capadvise.caps import names
from capadvise.gate.finding import RULES, Finding, Reached
from capadvise.gate.outcome import Examined, Judged, Outcome
from capadvise.report.escape import printable

SCHEMA = "capadvise.check/1"


def outcome_json(outcome: Outcome) -> str:
    """Everything, in a shape of our own."""
    return json.dumps(
        {
            "schema": SCHEMA,
            "passed": outcome.passed,
            "strict": outcome.strict,
            "files": [_file(file) for file in outcome.files],
        },
        indent=1,
    )


def _file(file: Examined) -> dict[str, Any]:
    return {
        "paths": list(file.source.paths),
        "format": file.source.format,
        "services": [_service(service) for service in file.services],
        "pods": [_pod(pod) for pod in file.source.pods],
    }


def _service(service: Judged) -> dict[str, Any]:
    return {
        "name": service.name,
        "path": service.path,
        "line": service.line,
        "granted": names(service.granted),
        "report": service.report,
        "exact": service.exact if service.report is not None else None,
        "findings": [
            {
                "rule": finding.rule,
                "severity": str(finding.severity),
                "path": finding.path,
                "line": finding.line,
                "what": finding.what,
                "why": finding.why,
                "remedy": finding.remedy,
            }
            for finding in service.findings
        ],
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


def outcome_sarif(outcome: Outcome) -> str:
    """For code scanning: https://docs.oasis-open.org/sarif/sarif/v2.1.0/."""
    ids = list(RULES)
    return json.dumps(
        {
            "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
            "version": "2.1.0",
            "runs": [
                {
                    "tool": {
                        "driver": {
                            "name": "capadvise",
                            "version": __version__,
                            "rules": [
                                {
                                    "id": name,
                                    "shortDescription": {"text": rule.summary},
                                    "defaultConfiguration": {"level": str(rule.severity)},
                                }
                                for name, rule in RULES.items()
                            ],
                        }
                    },
                    "results": [
                        _result(finding, ids.index(finding.rule)) for finding in outcome.findings
                    ],
                }
            ],
        },
        indent=1,
    )


def _result(finding: Finding, index: int) -> dict[str, Any]:
    return {
        "ruleId": finding.rule,
        "ruleIndex": index,
        "level": str(finding.severity),
        "message": {"text": _message(finding)},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": _uri(finding.path)},
                    "region": {"startLine": finding.line},
                },
                "logicalLocations": [{"name": printable(finding.service)}],
            }
        ],
    }


def _message(finding: Finding) -> str:
    return f"{printable(finding.service)}: {finding.what}. {finding.why} {finding.remedy}"


def _uri(path: str) -> str:
    """Relative to where the gate runs, if it lies below: code scanning wants it so."""
    place = Path(path)
    if place.is_absolute():
        try:
            place = place.relative_to(Path.cwd())
        except ValueError:
            return place.as_uri()
    return quote(os.fsencode(place))


# ------------------------------------------------------------------------------ GitHub


def outcome_github(outcome: Outcome) -> Iterator[str]:
    """Workflow commands: each finding becomes a remark at its line."""
    for finding in outcome.findings:
        place = f"file={_property(finding.path)},line={finding.line}"
        title = f"title={_property(f'capadvise {finding.rule}')}"
        yield f"::{finding.severity} {place},{title}::{_data(_message(finding))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
