"""Reports that somebody hands over, and all that is made of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from capadvise.catalog import default
from capadvise.config.snippet_from import snippet_of
from capadvise.judgement.report import Report
from capadvise.model.errors import BadInput
from capadvise.model.escape import printable
from capadvise.report.diff import diff, diff_text
from capadvise.report.dump import dump
from capadvise.report.explain_report import report_text
from capadvise.report.pages import FORMATS
from capadvise.report.text import proposal_text
from tests.support.recordings import RECORDING, report

CATALOG = default()
_TRIED = replace(
    RECORDING,
    still_running=frozenset({"nginx"}),
)
SOUND = json.loads(json.dumps(dump(report(_TRIED, "nginx"), CATALOG))) | {"needs": []}


def shown(one: Report) -> Iterator[tuple[str, str]]:
    """All that people and machines get to read of a report, by name."""
    yield "proposal", "\n".join(proposal_text(one, CATALOG, Path("/tmp/r.json")))
    evidence = proposal_text(one, CATALOG, Path("/tmp/r.json"), verbose=True)
    yield "proposal -v", "\n".join(evidence)
    yield "explain", "\n".join(report_text(one, CATALOG))
    yield "diff", "\n".join(diff_text(diff(one, report(RECORDING, "nginx"), CATALOG)))
    snippet = snippet_of(one, one.proposal.recommended, CATALOG)
    for name, language in FORMATS.items():
        try:
            yield name, language.render(snippet)
        except BadInput as error:  # setpriv of a unit; the command line prints it so
            yield name, printable(str(error))


def hostile(text: str) -> dict[str, Any]:
    """A report in which every text that a traced process chooses is this one."""
    raw: dict[str, Any] = json.loads(json.dumps(SOUND))
    raw["target"] |= {"name": text, "argv": [text, text], "cwd": text}
    recording = raw["recordings"][0]
    for check in recording["checks"]:
        check |= {"program": text, "detail": text}
    for refusal in recording["refusals"]:
        refusal["program"] = text
    for own in recording["fixed_capsets"]:
        own["program"] = text
    recording["still_running"] = [text[:15]]
    return raw
