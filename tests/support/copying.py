"""Programs that are run with ``--copies``, and what their copies told."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable
from typing import Any

import pytest

from capadvise.linux.copies.watched import MACHINE
from tests.support.runs import Result, Run

OWNER = 54321
"""Whoever a file is given to."""
ONLY_THERE = pytest.mark.skipif(platform.machine() != MACHINE, reason=f"copies are of {MACHINE}")
Copied = Callable[..., Result]
"""The fixture ``copied``."""
BEGIN = """
import os, signal, sys, time
file = "file"
if os.path.exists(file):
    os.unlink(file)
open(file, "w").close()
def end_copies():
    time.sleep(0.001)
"""
"""Of every program."""


def copied_by(run: Run) -> Copied:
    """Run a Python program with copies; ``file`` is a file of root's in its folder. Whatever it
    checks comes behind ``end_copies()``: a copy sees that its calls were not made."""

    def runner(source: str, *argv: str, options: tuple[str, ...] = (), **popen: Any) -> Result:
        words = (sys.executable, "-c", f"{BEGIN}{source}", *argv)
        return run(*words, options=("--copies", "-q", *options), **popen)

    return runner


def reactions(result: Result) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = result.report["recordings"][0]["reactions"]
    return told


def reaction(result: Result) -> dict[str, Any]:
    (one,) = reactions(result)
    return one


def answered(once: Callable[[], Result]) -> Result:
    """A run in which all that was tried gave an answer: a copy has little time, which a busy
    machine may take away from it."""
    for _ in range(8):
        result = once()
        if not any(one["untried"] for one in reactions(result)):
            break
    return result
