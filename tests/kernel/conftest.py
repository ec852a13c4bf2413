"""Kernel tests run real programs under real tracing. They are not skipped in CI."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.nobody import Nobody, nobody_in
from tests.support.processes import Marked
from tests.support.required import need_kernel
from tests.support.runs import Result, Run, record

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    need_kernel([item for item in items if HERE in item.path.parents])


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a command under capadvise, in ``tmp_path/w``; with ``net`` in a network of its own."""

    def runner(
        *argv: str, options: tuple[str, ...] = (), net: str | None = None, **popen: Any
    ) -> Result:
        work = tmp_path / "w"
        work.mkdir(exist_ok=True)
        script = f'set -e; ip link set lo up; {net}; exec "$@"'
        before = () if net is None else ("unshare", "--net", "sh", "-c", script, "sh")
        report = tmp_path / "report.json"
        return record(report, *argv, options=options, before=before, **{"cwd": work, **popen})

    return runner


@pytest.fixture
def nobody(tmp_path: Path) -> Nobody:
    return nobody_in(tmp_path)


@pytest.fixture
def marker() -> Iterator[str]:
    """A sleep of an odd length, by which its processes are found again."""
    marked = Marked()
    yield marked.word
    marked.end()
