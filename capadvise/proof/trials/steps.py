"""The steps between a start and its stop, as one shell command: a health check like any other.

It is run again and again until it passes. What was done stays done: each step leaves a file in the
round's folder, whose time says when. A check is repeated until it passes; what is to be executed
once, and fails, ends the target: then the round has failed.
"""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

from capadvise.model.workload import Act, Round, Step

APART = 0.3
"""Seconds before a reload, so that what it needs is told from what the start needs: the times of
checks and ours do not begin at the same moment."""
Reload = Callable[[Step], str]
"""How a target is told to reload, as a shell command."""
_FAIL = """fail() {
    echo "$1" > FOLDER/failed
    kill -KILL $(echo "$PIDS" | tr , ' ') 2>/dev/null
    exit 1
}"""
_CHECK = """if [ ! -e DONE ]; then
    SHELL -ec COMMAND || exit 1
    : > DONE
fi"""
_ONCE = """if [ ! -e DONE ]; then
    [ ! -e BEGUN ] || fail ACT # it took longer than one try may
    : > BEGUN
    WAIT
    SHELL -ec COMMAND || fail ACT
    : > DONE
fi"""


def script(steps: Round, check: str | None, folder: Path, reload: Reload) -> str | None:
    """All steps of a round; None where there is nothing to be done. ``folder``: of the round, whose
    path a shell takes as it is."""
    lines = []
    for number, step in enumerate(steps):
        if step.act is Act.CHECK and check is None:
            continue
        command = reload(step) if step.act is Act.RELOAD else step.text or check or ""
        text = _CHECK if step.act is Act.CHECK else _ONCE
        for word, value in (
            ("DONE", f"{folder}/{number}.done"),
            ("BEGUN", f"{folder}/{number}.{step.act}"),
            ("ACT", str(step.act)),
            ("WAIT", f"sleep {APART}" if step.act is Act.RELOAD else ":"),
            ("SHELL", shutil.which("bash") or "/bin/sh"),
            ("COMMAND", shlex.quote(command)),
        ):
            text = text.replace(word, value)
        lines.append(text)
    if not lines:
        return None
    return "\n".join([_FAIL.replace("FOLDER", str(folder)), *lines, f": > {folder}/passed"])


def passed_at(folder: Path) -> float | None:
    """When all steps had been done; None: they were not."""
    return _time(folder / "passed")


def reloaded_at(folder: Path, steps: Round) -> float | None:
    """When the first reload began."""
    begun = (folder / f"{number}.{Act.RELOAD}" for number, _ in enumerate(steps))
    return next((time for path in begun if (time := _time(path)) is not None), None)


def failed_act(folder: Path) -> str | None:
    """Which act failed that is done once; None: none did."""
    try:
        return (folder / "failed").read_text().strip()
    except OSError:
        return None


def _time(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None
