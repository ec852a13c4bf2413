"""What can go wrong, goes wrong here. In full: ``pytest tests/faults --rounds=200``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import pod_kills
from tests.support.containers import box_images
from tests.support.guest import SYSTEMD, Guest, booted
from tests.support.pods import Pod, node
from tests.support.processes import Marked
from tests.support.required import need_kernel, tool


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rounds", type=int, help="so often each kind of run is killed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    need_kernel([item for item in items if Path(__file__).parent in item.path.parents])


@pytest.fixture(scope="session")
def rounds(request: pytest.FixtureRequest) -> int:
    """How often each kind of run is killed."""
    return int(request.config.getoption("--rounds", default=None) or 2)


@pytest.fixture(scope="session")
def full(request: pytest.FixtureRequest) -> bool:
    """Whether there is time for all of it."""
    return request.config.getoption("--rounds", default=None) is not None


@pytest.fixture(scope="session")
def boxes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """An image of busybox, in docker and in podman."""
    yield from box_images(tmp_path_factory.mktemp("box"))


@pytest.fixture(scope="session")
def machine() -> Iterator[Guest]:
    """A systemd of our own, for units."""
    tool(str(SYSTEMD))
    with booted() as guest:
        yield guest


@pytest.fixture(scope="session")
def watched_pod() -> Iterator[tuple[Pod, Marked]]:
    """A pod with a container that runs, and how its processes are recognised."""
    with node() as made, pod_kills.watched(made) as pod:
        yield pod


@pytest.fixture
def marked() -> Iterator[Marked]:
    """A word by which the target's processes are found, which are killed in the end."""
    one = Marked()
    yield one
    one.end()
