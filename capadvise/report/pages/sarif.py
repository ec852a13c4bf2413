"""SARIF 2.1.0: a result for each capability that is kept, for code scanning and review tools."""

import json

from capadvise.config.snippet import Snippet
from capadvise.judgement.risk import risk_of
from capadvise.report import sarif_log
from capadvise.report.pages.sheet import Kept, kept_in
from capadvise.report.words import PROOFS, VERDICTS

_LEVELS = {"low": "note", "medium": "warning", "high": "error", "root": "error"}
_SEVERITIES = {"low": "2.0", "medium": "5.0", "high": "8.0", "root": "9.5"}
"""The scale of GitHub for ``security-severity``: from 0 to 10."""


def render(snippet: Snippet) -> str:
    every_kept = kept_in(snippet)
    log = sarif_log.log(
        map(_rule, every_kept),
        (_result(snippet, number, kept) for number, kept in enumerate(every_kept)),
        (("note", note) for note in (snippet.provenance, *snippet.cautions, *snippet.notes)),
    )
    return json.dumps(log, indent=2) + "\n"


def _rule(kept: Kept) -> sarif_log.Json:
    severity = _SEVERITIES.get(kept.risk or "", "5.0")
    return sarif_log.rule(
        kept.cap.name,
        f"The program keeps {kept.cap.name}",
        _level(kept),
        properties={"tags": ["security"], "security-severity": severity},
    )


def _result(snippet: Snippet, number: int, kept: Kept) -> sarif_log.Json:
    more = [
        *([f"Without it: {kept.lost_without}."] if kept.lost_without else []),
        *([f"Uncertain: {kept.uncertain}."] if kept.uncertain else []),
    ]
    verdict, proof = VERDICTS[kept.verdict], PROOFS[kept.proof]
    said = f"{kept.cap.name} is {verdict} ({risk_of(kept.risk)}; {proof}): {kept.reason}."
    return sarif_log.result(
        kept.cap.name,
        number,
        _level(kept),
        " ".join((said, *more)),
        {"logicalLocations": [{"name": snippet.name, "kind": "resource"}]},
        partialFingerprints={"capability/v1": f"{snippet.name}/{kept.cap.name}"},
        properties={"verdict": kept.verdict, "proof": kept.proof, "set": snippet.set_name},
    )


def _level(kept: Kept) -> str:
    return _LEVELS.get(kept.risk or "", "warning")
