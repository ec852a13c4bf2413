"""What a command name means."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from capadvise.model.errors import CannotStart
from capadvise.observe.supervise.command import resolve


def test_a_program_in_a_folder_that_is_shut_is_not_said_to_be_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a shell says it, with status 126."""

    def refuse(path: str) -> os.stat_result:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(os, "stat", refuse)
    with pytest.raises(CannotStart, match="shut/program: permission denied") as raised:
        resolve(f"{tmp_path}/shut/program")
    assert raised.value.exit_code == 126
