"""Files of other programs that start containers: what gives power is found, in each of them, and
what people usually write stays quiet."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from capadvise.cli import main

FOLDER = Path(__file__).parent / "carriers"
HOSTILE = sorted(each for each in (FOLDER / "hostile").rglob("*") if each.is_file())
HONEST = sorted(each for each in (FOLDER / "honest").rglob("*") if each.is_file())


@pytest.mark.parametrize("path", HOSTILE, ids=str)
def test_a_privileged_container_fails(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(path), "--format", "json"]) == 1
    (file,) = json.loads(capsys.readouterr().out)["files"]
    found = [item for each in file["services"] for item in each["findings"]]
    lines = path.read_text().splitlines()
    (first, *_) = [item["line"] for item in found if item["rule"] == "privileged"]
    assert "rivileged" in lines[first - 1]


@pytest.mark.parametrize("path", HONEST, ids=str)
def test_what_people_write_is_quiet(path: Path) -> None:
    assert main(["check", "--strict", str(path)]) == 0
