"""A recording of a unit and its trials, killed at three moments."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.support.guest import Guest
from tests.support.runs import CAPADVISE
from tests.support.wait import until

SECONDS = 900.0
"""For a unit on a machine that is very busy."""
_RECORDING, _TRIAL = "SystemCallFilter=\n", "CapabilityBoundingSet=\n"
"""Lines of the drop-in of a recording, and of that of a trial, by which they are known."""


def order(recipe: dict[str, Any]) -> list[str]:
    """What is recorded of a recipe."""
    return ["systemctl", "restart" if recipe.get("running") else "start", recipe["unit"]]


def check(recipe: dict[str, Any]) -> list[str]:
    """How ``run`` is told what to ask."""
    return ["--check", recipe["check"], "--for", "40"] if recipe.get("check") else []


def killed_at(guest: Guest, recipe: dict[str, Any], moment: Callable[[Guest, str], bool]) -> bool:
    """Whether capadvise still ran then; it is undone what it did."""
    name = recipe["unit"]
    _report(guest).unlink(missing_ok=True)
    process = subprocess.Popen(
        guest.words(
            *(CAPADVISE, "run", "-q", "--no-tui", "--prove", "-o", "/run/killed.json"),
            *(*check(recipe), "--", *order(recipe)),
        ),
        env=guest.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until(lambda: moment(guest, name) or process.poll() is not None, SECONDS)
    hit = process.poll() is None
    with suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with suppress(AssertionError):
        until(lambda: guest.traces() == [])
    return hit


def _report(guest: Guest) -> Path:
    """Of a capadvise that is killed."""
    return guest.root / "run/killed.json"


def _drop_in(guest: Guest, name: str) -> str:
    """Of a capadvise, as it is now."""
    folder = guest.root / f"run/systemd/system/{name}.service.d"
    with suppress(FileNotFoundError):  # the folder, or what is in it
        for path in folder.glob("zzz-capadvise-*"):
            return path.read_text()
    return ""


def _changed(guest: Guest, name: str) -> bool:
    """The drop-in of the recording is there."""
    return _RECORDING in _drop_in(guest, name)


def _recorded(guest: Guest, name: str) -> bool:
    """It was gone again: the first report is written, the trials begin."""
    return _report(guest).exists()


def _tried(guest: Guest, name: str) -> bool:
    """The drop-in of a trial is there."""
    drop_in = _drop_in(guest, name)
    return _TRIAL in drop_in and _RECORDING not in drop_in


MOMENTS = (_changed, _recorded, _tried)
