"""The screens offer to change files that are there: here there are none. What they say of known
programs does not change here."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.known import nginx_alone


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    nginx_alone(monkeypatch)
