"""SARIF 2.1.0: a result for each capability that is kept, for code scanning and review tools."""

from __future__ import annotations

import json
from typing import Any

from capadvise import __version__
from capadvise.decide import Proof, Verdict
from capadvise.formats.snippet import Kept, Snippet
from capadvise.report.risk import risk_of
from capadvise.report.words import PROOFS, VERDICTS

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS = {"low": "note", "medium": "warning", "high": "error", "root": "error"}
_SEVERITIES = {"low": "2.0", "medium": "5.0", "high": "8.0", "root": "9.5"}
"""As GitHub reads ``security-severity``: from 0 to 10."""


def render(snippet: Snippet) -> str:
    """The log of one run."""
    driver = {
        "name": "capadvise",
        "version": __version__,
        "rules": [_rule(kept) for kept in snippet.kept],
    }
    run = {
        "tool": {"driver": driver},
        "invocations": [
            {
                "executionSuccessful": True,
                "toolExecutionNotifications": [
                    {"level": "note", "message": {"text": note}}
                    for note in (*snippet.cautions, *snippet.notes)
                ],
            }
        ],
        "results": [_result(snippet, number, kept) for number, kept in enumerate(snippet.kept)],
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _rule(kept: Kept) -> dict[str, Any]:
    severity = _SEVERITIES.get(kept.risk or "", "5.0")
    return {
        "id": kept.cap.name,
        "shortDescription": {"text": f"The program keeps {kept.cap.name}"},
        "defaultConfiguration": {"level": _level(kept)},
        "properties": {"tags": ["security"], "security-severity": severity},
    }


def _result(snippet: Snippet, number: int, kept: Kept) -> dict[str, Any]:
    more = [
        *([f"Without it: {kept.lost_without}."] if kept.lost_without else []),
        *([f"Uncertain: {kept.uncertain}."] if kept.uncertain else []),
    ]
    verdict, proof = VERDICTS[Verdict(kept.verdict)], PROOFS[Proof(kept.proof)]
    said = f"{kept.cap.name} is {verdict} ({risk_of(kept.risk)}; {proof}): {kept.reason}."
    return {
        "ruleId": kept.cap.name,
        "ruleIndex": number,
        "level": _level(kept),
        "message": {"text": " ".join((said, *more))},
        "locations": [{"logicalLocations": [{"name": snippet.name, "kind": "resource"}]}],
        "partialFingerprints": {"capability/v1": f"{snippet.name}/{kept.cap.name}"},
        "properties": {"verdict": kept.verdict, "proof": kept.proof, "set": snippet.set_name},
    }


def _level(kept: Kept) -> str:
    return _LEVELS.get(kept.risk or "", "warning")
