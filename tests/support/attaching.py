"""``capadvise attach`` around something that happens meanwhile."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.support.runs import CAPADVISE, Result


def start(what: str | int, *options: str) -> subprocess.Popen[str]:
    """Attach, and wait until it watches. Its last words are in stderr."""
    process = subprocess.Popen(
        [CAPADVISE, "attach", *options, str(what)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    said = process.stderr.readline()
    assert "watching" in said, said + process.communicate()[1]
    return process


def attach(
    what: str | int, during: Callable[[], object], report: Path, *options: str, stop: bool = True
) -> Result:
    """Attach, let something happen, and end the recording as Ctrl-C does."""
    process = start(what, "-o", str(report), *options)
    during()
    if stop:
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    return Result(process.returncode, out, err, json.loads(report.read_text()))
