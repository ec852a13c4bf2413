"""Fixes in SARIF, and GitLab's formats."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from capadvise.cli import main
from capadvise.config import LANGUAGES
from tests.support.gate_files import gated_folder

Out = pytest.CaptureFixture[str]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return gated_folder(tmp_path, monkeypatch)


def printed(capsys: Out, *arguments: str) -> Any:
    main(["check", *arguments])
    return json.loads(capsys.readouterr().out)


def applied(fix: Any) -> dict[str, str]:
    """The text of each file after a fix, as a viewer of SARIF applies it."""
    texts = {}
    for change in fix["artifactChanges"]:
        path = change["artifactLocation"]["uri"]
        lines = Path(path).read_text().splitlines(keepends=True)
        for each in reversed(change["replacements"]):
            region = each["deletedRegion"]
            assert region["startColumn"] == region["endColumn"] == 1
            new = [each["insertedContent"]["text"]]
            lines[region["startLine"] - 1 : region["endLine"] - 1] = new
        texts[path] = "".join(lines)
    return texts


def test_a_fix_is_what_fix_writes(place: Path, capsys: Out) -> None:
    arguments = ("compose.yaml", "--against", "baseline")
    (run,) = printed(capsys, *arguments, "--format", "sarif")["runs"]
    results = [each for each in run["results"] if "fixes" in each]
    assert results
    assert {each["ruleId"] for each in results} >= {"over-permissioned"}
    before = Path("compose.yaml").read_text()
    texts = {
        result["locations"][0]["logicalLocations"][0]["name"]: applied(result["fixes"][0])
        for result in results
    }
    main(["check", *arguments, "--fix"])
    assert Path("compose.yaml").read_text() != before
    for name, text in texts.items():
        assert declared(text["compose.yaml"], name) == declared(
            Path("compose.yaml").read_text(), name
        )
        assert declared(text["compose.yaml"], name) != declared(before, name)


def declared(text: str, name: str) -> tuple[Any, ...]:
    """The set of one service."""
    (one,) = [each for each in LANGUAGES["compose"].read(text) if each.service == name]
    return (one.add, one.drop, one.privileged, one.no_new_privileges)


def test_without_reports_there_is_no_fix(place: Path, capsys: Out) -> None:
    (run,) = printed(capsys, "compose.yaml", "--format", "sarif")["runs"]
    assert not any("fixes" in each for each in run["results"])


def hostile() -> None:
    services = (
        "  'a\\x1b[1m': {image: x, cap_drop: [ALL], privileged: true, volumes: [/:/a, /etc:/b]}"
    )
    Path("bad.yaml").write_text(f"services:\n{services}\n")
    Path("broken.yaml").write_text("services: [\n")


def test_code_quality(place: Path, capsys: Out) -> None:
    hostile()
    issues = printed(capsys, "bad.yaml", "broken.yaml", "--format", "gitlab-code-quality")
    assert len({each["fingerprint"] for each in issues}) == len(issues)
    assert {each["severity"] for each in issues} <= {
        "info",
        "minor",
        "major",
        "critical",
        "blocker",
    }
    for each in issues:
        assert each["description"]
        assert each["check_name"]
        assert each["location"]["path"] in ("bad.yaml", "broken.yaml")
        assert each["location"]["lines"]["begin"] >= 1
    assert "privileged" in [each["check_name"] for each in issues]
    assert [each["location"]["path"] for each in issues if each["severity"] == "blocker"] == [
        "broken.yaml"
    ]


def test_a_fingerprint_stays_when_lines_move(place: Path, capsys: Out) -> None:
    hostile()
    before = printed(capsys, "bad.yaml", "--format", "gitlab-code-quality")
    Path("bad.yaml").write_text("# a line\n" + Path("bad.yaml").read_text())
    after = printed(capsys, str(place / "bad.yaml"), "--format", "gitlab-code-quality")
    assert [each["fingerprint"] for each in before] == [each["fingerprint"] for each in after]
    assert before != after


def test_accepted_findings_are_left_out(place: Path, capsys: Out) -> None:
    Path("bad.yaml").write_text(
        "services:\n  a:\n    image: x\n    cap_drop: [ALL]\n"
        "    privileged: true # capadvise: accept privileged, reason: it is mine\n"
    )
    assert printed(capsys, "bad.yaml", "--format", "gitlab-code-quality") == []
    assert printed(capsys, "bad.yaml", "--format", "gitlab-sast")["vulnerabilities"] == []


def test_sast(place: Path, capsys: Out) -> None:
    """As version 15.0 of the schema demands it."""
    hostile()
    report = printed(capsys, "bad.yaml", "broken.yaml", "--format", "gitlab-sast")
    assert re.fullmatch(r"15\.\d+\.\d+", report["version"])
    assert report["schema"].startswith("https://")
    scan = report["scan"]
    assert (scan["type"], scan["status"]) == ("sast", "failure")
    for key in ("start_time", "end_time"):
        assert re.fullmatch(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}", scan[key])
    for tool in (scan["analyzer"], scan["scanner"]):
        assert all((tool["id"], tool["name"], tool["version"], tool["vendor"]["name"]))
    assert [each["level"] for each in scan["messages"]] == ["fatal"]
    assert report["vulnerabilities"]
    for each in report["vulnerabilities"]:
        assert each["id"]
        assert len(each["name"]) <= 255
        assert each["severity"] in ("Info", "Unknown", "Low", "Medium", "High", "Critical")
        assert len(each["solution"]) <= 7000
        (identifier,) = each["identifiers"]
        assert all((identifier["type"], identifier["name"], identifier["value"]))
        assert each["location"] == {"file": "bad.yaml", "start_line": 2}


@pytest.mark.parametrize("output", ["gitlab-code-quality", "gitlab-sast"])
def test_nothing_hostile_is_printed(place: Path, output: str, capsys: Out) -> None:
    hostile()
    main(["check", "bad.yaml", "--format", output])
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "\\u001b" not in said
