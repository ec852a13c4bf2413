"""For all tests: none fails because the machine is busy."""

from __future__ import annotations

import gc
import os
import signal
import sys
from pathlib import Path

import pytest

sys.dont_write_bytecode = False  # assertions are rewritten once, not in each run
pytest.register_assert_rewrite("tests.support")  # their failures show both sides, too

from hypothesis import settings  # noqa: E402 - it has assertions as well

from tests.support import golden  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
ANYWHERE = {ROOT / "tests" / name for name in ("unit", "tui", "fuzz")}
gc.disable()  # until all is collected
gc.set_threshold(50_000)  # thousands of small tests leave few cycles: to look for them takes time
# A shell that starts these tests in the background has them ignore SIGINT, nohup SIGHUP, and with
# them every program that they start.
for number, handler in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(golden.OPTION, action="store_true", help="write the golden outputs anew")
    parser.addoption("--long", action="store_true", help="also what CI has no time for")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """A worker for each processor, 0: none, where only what neither traces nor starts engines is
    tested, whole folders of it: for a file, workers cost more than they bring."""
    alone = any((ROOT / argument).resolve() not in ANYWHERE for argument in config.args)
    return 0 if alone else len(os.sched_getaffinity(0))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    long = [item for item in items if item.get_closest_marker("long")]
    if long and not config.getoption("--long"):
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]


def pytest_collection_finish() -> None:
    gc.freeze()  # modules, cases and syntax trees stay
    gc.enable()


def pytest_configure(config: pytest.Config) -> None:
    golden.Mode.writes = config.getoption(golden.OPTION)
