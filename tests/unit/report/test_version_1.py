"""Version 1 of the report's JSON goes on being read, and written for those who ask for it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from capadvise.cli import main
from capadvise.judgement.conclusion import Standing
from capadvise.judgement.report import Report
from capadvise.report.diff import diff, diff_json
from capadvise.report.dump import dump
from capadvise.report.load import load, loaded
from capadvise.report.save import save
from capadvise.report.version_1 import SCHEMA, downgraded
from tests.support.recordings import CATALOG, report
from tests.support.standings import STANDINGS, report_with

DATA = Path(__file__).parents[2] / "data"
VERSION_1 = json.loads((DATA / "report-1.schema.json").read_text())


def old(of: Report) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(json.dumps(downgraded(dump(of, CATALOG))))
    return document


@pytest.mark.parametrize("standing", STANDINGS)
def test_what_is_written_keeps_to_the_schema_of_that_time(standing: Standing) -> None:
    document = old(report_with(standing))
    jsonschema.Draft202012Validator(VERSION_1).validate(document)
    assert document["schema"] == SCHEMA


@pytest.mark.parametrize("standing", STANDINGS)
def test_it_is_read_as_the_same_report(standing: Standing, tmp_path: Path) -> None:
    """But for the day of the proof and for what the target is granted, which it does not hold."""
    made = report_with(standing)
    path = tmp_path / "r.json"
    path.write_text(json.dumps(old(made)))
    again = load(path, CATALOG)
    assert again.recordings == made.recordings
    assert (again.proven is None) is (made.proven is None)
    if again.proven is not None and made.proven is not None:
        assert (again.proven.minimal, again.proven.trials) == (
            made.proven.minimal,
            made.proven.trials,
        )


def test_a_script_of_that_time_goes_on_working() -> None:
    def run(of: Report) -> list[str]:
        argv = [sys.executable, str(DATA / "version_1_script.py")]
        text = json.dumps(old(of))
        done = subprocess.run(argv, input=text, capture_output=True, text=True, check=True)
        return done.stdout.splitlines()

    assert run(report()) == [
        "CAP_NET_BIND_SERVICE CAP_NET_ADMIN | CAP_SYS_ADMIN | ",
        "0 bird",
        "none",
        "none",
    ]
    assert run(report_with(Standing.PROVEN)) == [
        "CAP_CHOWN |  | CAP_SYS_NICE",
        "0 ",
        "CAP_CHOWN",
        "True",
    ]


def test_other_documents_have_the_old_word_too() -> None:
    proven = report_with(Standing.PROVEN_MINIMAL)
    document = downgraded(diff_json(diff(proven, proven, CATALOG)))
    assert document["floor"] == {"gained": [], "lost": []}
    assert "minimal" not in document


def test_what_is_neither_version_is_refused_by_name() -> None:
    with pytest.raises(Exception, match=r"capadvise\.report/3"):
        loaded({"schema": "capadvise.report/3"}, "x.json", CATALOG)


def test_a_saved_report_is_turned_into_version_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "r.json"
    save(path, report_with(Standing.PROVEN), CATALOG)
    assert main(["merge", str(path), "--json=1"]) == 0
    document = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator(VERSION_1).validate(document)
    assert main(["diff", str(path), str(path), "--json=1"]) == 0
    assert json.loads(capsys.readouterr().out)["floor"] == {"gained": [], "lost": []}
