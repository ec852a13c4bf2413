"""Proves the cases of ``losses``, and judges the reports."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.support.losses import Case
from tests.support.runs import CAPADVISE


def prove_all(cases: Sequence[Case], folder: Path) -> dict[str, dict[str, Any]]:
    """The reports of all workloads, by name."""
    folder.mkdir()
    (folder / "all.yaml").write_text(yaml.safe_dump_all([case.workload() for case in cases]))
    one = folder / "reports" / f"{cases[0].name}.json"
    output = folder / "reports" if len(cases) > 1 else one
    words = [CAPADVISE, "prove", "-j", "2", "-o", str(output), str(folder / "all.yaml")]
    subprocess.run(words, capture_output=True, timeout=7200)
    return {path.stem: json.loads(path.read_text()) for path in (folder / "reports").glob("*.json")}


def missed(case: Case, report: dict[str, Any] | None) -> str | None:
    """The reason why the report hides a loss; None: it is in the set, or named."""
    if report is None or report["proposal"]["minimal"] is None:
        return "not proven"
    kept = set(report["proposal"]["recommended"])
    named = [text for text in report["proof"]["cautions"] if "it loses" in text]
    wanted = {f"CAP_{name}" for name in case.caps.split()}
    return None if kept & wanted or named else f"recommended: {sorted(kept)}"


def false_loss(case: Case, report: dict[str, Any] | None) -> str | None:
    """The loss that a control seems to have."""
    if report is None or report["proposal"]["minimal"] is None:
        return "not proven"
    kept = set(report["proposal"]["recommended"])
    named = [text for text in report["proof"]["cautions"] if "it loses" in text]
    lost = [need["lost_without"] for need in report["needs"] if need["verdict"] == "optional"]
    if kept == {f"CAP_{name}" for name in case.caps.split()} and not named and not any(lost):
        return None
    return f"recommended: {sorted(kept)}; {'; '.join(filter(None, [*named, *lost]))}"
