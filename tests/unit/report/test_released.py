"""Reports of released versions, written by them: ``tests/data/reports/VERSION``.

A new release adds a folder: ``run --prove -- chown 1 f``, a container that does the same, and a
program that gives up SYS_ADMIN and then mounts.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from capadvise import __version__
from capadvise.cli import main
from capadvise.report.load import load
from tests.support.recordings import CATALOG

REPORTS = Path(__file__).parents[2] / "data/reports"
VERSIONS = sorted(folder.name for folder in REPORTS.iterdir())
NEEDS = {"command": ["CHOWN"], "container": ["CHOWN"], "refused": ["SETPCAP"]}


def test_there_are_reports_of_this_version() -> None:
    assert __version__ in VERSIONS


@pytest.mark.parametrize("name", NEEDS)
@pytest.mark.parametrize("version", VERSIONS)
def test_a_report_of_a_released_version_is_read_shown_and_emitted(
    version: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = REPORTS / version / f"{name}.json"
    report = load(path, CATALOG)
    assert sorted(cap.short for cap in report.proposal.recommended) == NEEDS[name]
    assert (report.proven is not None) is (name == "command")
    assert main(["explain", str(path)]) == 0
    assert NEEDS[name][0] in capsys.readouterr().out
    assert main(["emit", str(path), "--format", "compose"]) == 0
    assert f"      - {NEEDS[name][0]} #" in capsys.readouterr().out
    assert main(["diff", str(path), str(REPORTS / __version__ / f"{name}.json")]) == 0
