"""What must hold after anything: DESIGN, section 9."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import jsonschema

import capadvise.report
from capadvise.catalog import default
from capadvise.linux.ftrace import tracefs
from capadvise.linux.kernel import procfs
from capadvise.linux.kernel.process_tree import descendants
from capadvise.report.load import load
from capadvise.report.model import Report
from tests.kernel.test_supervision import leftovers

SCHEMA = json.loads((Path(capadvise.report.__file__).parent / "schema.json").read_text())
PATIENCE = 40.0
"""Seconds for what ends in a moment on a machine that is not busy."""
_numbers = count()


def until(condition: Callable[[], object], seconds: float = PATIENCE) -> bool:
    """Whether the condition came to hold in time."""
    end = time.monotonic() + seconds
    while not (holds := condition()) and time.monotonic() < end:
        time.sleep(0.02)
    return bool(holds)


class Marked:
    """Processes of a target, told by their argument: a time to sleep that nobody else has."""

    def __init__(self) -> None:
        self.word = f"{7000 + os.getpid() % 1000}.{next(_numbers):03}{time.time_ns() % 1000:03}"

    def processes(self, *, ours: bool = False) -> list[int]:
        """Those of the target; with ``ours`` also what only names it: capadvise and clients."""
        found = []
        for pid in procfs.processes():
            words = procfs.arguments(pid)
            if self.word in words if not ours else any(self.word in word for word in words):
                lives = procfs.state(pid) not in ("", "Z", "X")
                found += [pid] if lives and (ours or words[0].endswith("sleep")) else []
        return found

    def end(self) -> None:
        """Kill what a failed test has left."""
        for pid in self.processes(ours=True):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def kind_of(pid: int) -> str | None:
    """What a process of ours is; None for others."""
    line = " ".join(procfs.arguments(pid))
    kinds = {"guardian.py": "guardian", "tracer.py": "tracer", "linux.trials.sandbox": "stage"}
    return next((kind for text, kind in kinds.items() if text in line), None)


def ours(root: int) -> dict[int, str]:
    """The processes of one capadvise: pid → what it is."""
    return {root: "supervisor"} | {
        pid: kind for pid in descendants(root) if (kind := kind_of(pid)) is not None
    }


def containers(label: str) -> list[str]:
    """The containers of an engine that run and carry a label of capadvise's, with its value."""
    form = f'{{{{.ID}}}} {{{{.Label "{label}"}}}}'
    words = ["docker", "ps", f"--filter=label={label}", f"--format={form}"]
    return subprocess.run(words, capture_output=True, text=True).stdout.splitlines()


def nothing_is_left(marked: Marked, supervisors: set[int]) -> None:
    """No process of the target, no process or trace instance of ours."""
    assert until(lambda: not marked.processes()), marked.processes()
    marks = tuple(f"{tracefs.PREFIX}{pid}-" for pid in supervisors)
    gone = until(lambda: not [name for name in leftovers() if name.startswith(marks)])
    assert gone, leftovers()
    assert until(lambda: not marked.processes(ours=True)), [
        procfs.arguments(pid) for pid in marked.processes(ours=True)
    ]


def sound(path: Path) -> Report | None:
    """The report, if there is one: it follows the schema and is read."""
    if not path.exists():
        return None
    raw: dict[str, Any] = json.loads(path.read_text())
    jsonschema.validate(raw, SCHEMA)
    return load(path, default())
