"""kill -9 of any one of our processes, at any moment: nothing runs on, and nothing is left."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import pod_kills, unit_kills
from tests.faults.kills import KINDS, kill_once, suspend, turn_back
from tests.support.containers import CLIENTS
from tests.support.guest import Guest
from tests.support.pods import Pod
from tests.support.processes import Marked


@pytest.mark.parametrize("name", KINDS)
def test_kill_9_at_any_moment(
    name: str, rounds: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if name in CLIENTS:
        request.getfixturevalue("boxes")
    for number in range(rounds):
        (folder := tmp_path / str(number)).mkdir()
        kill_once(name, number, folder)


@pytest.mark.parametrize("name", unit_kills.KINDS)
def test_kill_9_while_a_unit_is_observed(
    name: str, rounds: int, machine: Guest, tmp_path: Path
) -> None:
    for number in range(rounds):
        (folder := tmp_path / str(number)).mkdir()
        unit_kills.kill_once(machine, name, number, folder)


def test_kill_9_while_a_pod_is_watched(
    rounds: int, watched_pod: tuple[Pod, Marked], tmp_path: Path
) -> None:
    for number in range(rounds):
        (folder := tmp_path / str(number)).mkdir()
        pod_kills.kill_once(*watched_pod, number, folder)


@pytest.mark.parametrize("name", ["run", "run --retry", "attach"])
def test_the_machine_sleeps(name: str, full: bool, tmp_path: Path) -> None:
    suspend(name, 30 if full else 3, tmp_path)


@pytest.mark.parametrize("name", ["run", "run --retry", "attach"])
def test_the_clock_is_set_back(name: str, full: bool, tmp_path: Path) -> None:
    turn_back(name, 3600 if full else 5, tmp_path)
