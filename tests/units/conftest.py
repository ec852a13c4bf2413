"""One systemd for all tests of this package."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.guest import SYSTEMD, Guest, booted
from tests.support.required import missing, need_kernel


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    need_kernel([item for item in items if Path(__file__).parent in item.path.parents])


@pytest.fixture(scope="session")
def machine() -> Iterator[Guest]:
    """It boots in five seconds."""
    if os.geteuid() != 0 or not SYSTEMD.exists():
        missing("only root starts a systemd, where it is installed")
    with booted() as guest:
        yield guest


@pytest.fixture
def guest(machine: Guest) -> Iterator[Guest]:
    """Nothing of capadvise's is left there afterwards."""
    yield machine
    assert machine.traces() == []
