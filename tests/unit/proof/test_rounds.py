"""The rounds of a trial, without any target."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from capadvise.observe.supervise.command import Command
from capadvise.observe.supervise.observation import Observation
from capadvise.proof.trials.rounds import run_rounds
from tests.support.recordings import RECORDING


@pytest.mark.parametrize(
    ("kind", "limit", "given"),
    [
        ("daemon", None, [(10, None), (22, None)]),
        ("daemon", 3.0, [(10, 3.0), (22, 12.0)]),
        ("daemon", 40.0, [(10, 40.0), (22, 40.0)]),
        ("oneshot", None, [(10, None), (10, None)]),
    ],
)
def test_a_later_start_may_wait_in_silence_for_longer(
    kind: str, limit: float | None, given: list[Any], tmp_path: Path
) -> None:
    """What the first one has left can have to time out first."""
    seen: list[Any] = []

    def run(number: int, command: Command) -> Any:
        seen.append((command.seconds, command.still_limit))
        (tmp_path / f"round{number}" / "passed").touch()
        ended = SimpleNamespace(exit_status=0)
        return SimpleNamespace(recordings=(), recording=ended, check_passed=True, outlasting=())

    plan = {
        **{"rounds": [[], []], "check": None, "last_stop": False, "kind": kind},
        **{"timeout": 10, "expect_exit": 0, "patience": 10.0, "stop": None},
        "isolation": "command",
    }
    command = Command(("true",), kind=kind, seconds=10, still_limit=limit)
    results = list(run_rounds(plan, tmp_path, command, run, str))
    assert [result.passed for result in results] == [True, True]
    assert seen == given


@pytest.mark.parametrize(("expected", "succeeded"), [(3, True), (None, True), (0, False)])
def test_who_ends_as_the_workload_expects_has_not_failed(
    expected: int | None, succeeded: bool, tmp_path: Path
) -> None:
    """A caution said that the run failed, beside the proof that it works."""
    seen = replace(RECORDING, exit_status=3, succeeded=False)
    ended = SimpleNamespace(recordings=(seen,), recording=seen, check_passed=None)
    plan = {
        **{"rounds": [[]], "check": None, "last_stop": False, "kind": "oneshot"},
        **{"timeout": 10, "expect_exit": expected, "patience": 0.0, "isolation": "command"},
    }
    command, started = Command(("false",), kind="oneshot"), cast(Observation, ended)
    (result,) = run_rounds(plan, tmp_path, command, lambda *_: started, str)
    assert [one.succeeded for one in result.recordings] == [succeeded]
    assert result.passed is succeeded


@pytest.mark.parametrize(
    ("isolation", "status", "killed"),
    [("container", 0, False), ("container", 137, True), ("command", 0, True)],
)
def test_what_a_busy_engine_takes_its_time_for_was_not_killed(
    isolation: str, status: int, killed: bool, tmp_path: Path
) -> None:
    """It kills what does not stop in time, and the exit status says so."""

    def run(number: int, command: Command) -> Any:
        (tmp_path / f"round{number}" / "passed").touch()
        ended = SimpleNamespace(exit_status=status)
        return SimpleNamespace(recordings=(), recording=ended, check_passed=True, outlasting=())

    plan = {
        **{"rounds": [[]], "check": None, "last_stop": True, "kind": "daemon"},
        **{"timeout": 10, "patience": 0.0, "stop": None, "isolation": isolation},
    }
    (result,) = run_rounds(plan, tmp_path, Command(("true",), kind="daemon"), run, str)
    assert result.stop is not None
    assert result.stop["killed"] is killed


@pytest.mark.parametrize(
    ("expected", "left", "why"),
    [
        (True, ("worker",), "it stopped, but left running: worker"),
        (True, (), ""),
        (False, ("worker",), ""),
        (None, ("worker",), ""),
    ],
)
def test_what_outlasts_a_stop_fails_it_where_nothing_does_with_every_capability(
    expected: bool | None, left: tuple[str, ...], why: str, tmp_path: Path
) -> None:
    given: list[float] = []

    def run(number: int, command: Command) -> Any:
        given.append(command.rest_patience)
        (tmp_path / f"round{number}" / "passed").touch()
        ended = SimpleNamespace(exit_status=0)
        return SimpleNamespace(recordings=(), recording=ended, check_passed=True, outlasting=left)

    stop = {"seconds": 0.1, "killed": False, "clean": True, "leaves_nothing": expected}
    plan = {
        **{"rounds": [[]], "check": None, "last_stop": True, "kind": "daemon"},
        **{"timeout": 10, "patience": 5.0, "stop": None if expected is None else stop},
        "isolation": "command",
    }
    command = Command(("true",), kind="daemon", patience=5.0)
    (result,) = run_rounds(plan, tmp_path, command, run, str)
    assert (result.why, result.failed_at) == (why, "stop" if why else None)
    assert result.stop is not None
    assert result.stop["leaves_nothing"] is (left == ())
    assert given == [{True: 5.0, False: 0.0, None: 2.0}[expected]]
