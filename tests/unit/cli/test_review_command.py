"""``capadvise review`` without a name, where there is no terminal: the reports that were saved."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from capadvise.cli import main


def test_saved_reports_are_listed_the_latest_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert main(["review"]) == 2
    assert "there is no saved report yet" in capsys.readouterr().err
    folder = tmp_path / "capadvise"
    folder.mkdir()
    for number, name in enumerate(("web-1", "db-2", "web-3")):
        (folder / f"{name}.json").write_text("{}")
        os.utime(folder / f"{name}.json", (number, number))
    assert main(["review"]) == 0
    names = [Path(line).stem for line in capsys.readouterr().out.splitlines()]
    assert names == ["web-3", "db-2", "web-1"]
