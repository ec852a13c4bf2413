"""Where reports go."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from capadvise.workflow.reports import report_path, saved_reports


@pytest.fixture(autouse=True)
def no_state_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.delenv("SUDO_UID", raising=False)


def test_a_report_goes_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert report_path(None, "x").parent == tmp_path / ".local/state/capadvise"


@pytest.mark.parametrize("home", ["", "relative", "/nonexistent"])
def test_no_home_is_made(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`HOME=` would be the root directory."""
    monkeypatch.setenv("HOME", home)
    own = pwd.getpwuid(os.geteuid()).pw_dir
    assert report_path(None, "x").parent == Path(own, ".local/state/capadvise")
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: pwd.struct_passwd([*"abcde", "/gone", "g"]))
    assert report_path(None, "x").parent == Path("/tmp")
    assert saved_reports() == []
