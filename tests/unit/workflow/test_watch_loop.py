"""The loop of ``watch``, at a machine where nothing happens."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest

from capadvise.model.errors import BadInput
from capadvise.workflow import watch


def test_counts_that_cannot_be_written_end_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As on a full disk: what was found until then would not be told any more."""
    monkeypatch.setattr(watch, "_COUNT_SECONDS", 0.0)
    tries = list[int]()
    silent, other = os.pipe()

    def counted(_: object) -> None:
        tries.append(len(tries))
        if len(tries) == 1:
            raise BadInput("cannot write metrics: No space left on device")

    def news(*, all_: bool = False) -> list[Any]:
        return []

    def received() -> list[tuple[int, bool]]:
        return [(15, True)] if len(tries) == 3 else []

    machine: Any = SimpleNamespace(fds=[], patience=0.0, news=news, count=lambda: None)
    signals: Any = SimpleNamespace(fd=silent, received=received, hung_up=False)
    nobody: Any = lambda _: None  # noqa: E731
    watch._loop(machine, watch.Reporter(nobody, nobody, nobody, counted), None, signals)
    os.close(silent)
    os.close(other)
    assert tries == [0, 1, 2]
    assert capsys.readouterr().err == "capadvise: cannot write metrics: No space left on device\n"
