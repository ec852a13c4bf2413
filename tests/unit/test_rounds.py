"""The rounds of a trial, without any target."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from capadvise.linux.supervise.command import Command
from capadvise.linux.trials.rounds import run_rounds


@pytest.mark.parametrize(
    ("limit", "given"), [(None, [None, None]), (3.0, [3.0, 12.0]), (40.0, [40.0, 40.0])]
)
def test_a_later_start_may_wait_in_silence_for_longer(
    limit: float | None, given: list[float | None], tmp_path: Path
) -> None:
    """What the first one has left can have to time out first."""
    seen: list[float | None] = []

    def run(_: int, command: Command) -> Any:
        seen.append(command.still_limit)
        ended = SimpleNamespace(exit_status=0)
        return SimpleNamespace(recordings=(), recording=ended, check_passed=None)

    plan = {
        **{"rounds": [[], []], "check": None, "last_stop": False, "kind": "oneshot"},
        **{"timeout": 10, "expect_exit": 0},
    }
    results = list(run_rounds(plan, tmp_path, Command(("true",), still_limit=limit), run, str))
    assert [result.passed for result in results] == [True, True]
    assert seen == given
