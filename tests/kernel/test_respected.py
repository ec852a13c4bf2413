"""Trials respect each field of a workload."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.respected import ROWS, trial

pytestmark = pytest.mark.kernel


@pytest.mark.parametrize("name", ROWS)
def test_a_trial_respects_each_field(name: str, tmp_path: Path) -> None:
    row = ROWS[name]
    without = trial(name, row.workload, tmp_path / "without")
    with_it = trial(name, replace(row.workload, **{name: row.value}), tmp_path / "with")
    if name == "fresh":
        assert (without, with_it) == ((True, "", False), (True, "", False))
    elif row.left is not None:
        assert (without, with_it) == ((True, "", True), (True, "", False))
    else:
        assert (without[0], with_it[0]) == (not row.passes, row.passes), (without, with_it)
