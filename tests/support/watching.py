"""``capadvise watch`` around something that happens meanwhile."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tests.support.runs import CAPADVISE
from tests.support.wait import until


class Watching:
    """A watch that runs, and what it has said so far."""

    def __init__(self, *options: str, before: Sequence[str] = ()) -> None:
        """``before``: words before those of the command."""
        self.process = subprocess.Popen(
            [*before, CAPADVISE, "watch", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        assert self.process.stderr is not None
        said = self.process.stderr.readline()
        if "watching this machine" not in said:
            raise AssertionError(said + self.process.stderr.read())

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(iter(self.process.stdout.readline, ""))

    def rows(self, event: str = "refusal") -> list[dict[str, Any]]:
        """With ``--json``: what it has said of one kind."""
        rows = [json.loads(line) for line in list(self.lines) if line.endswith("}\n")]
        return [row for row in rows if row["event"] == event]

    def row(self, holds: Callable[[dict[str, Any]], bool], event: str = "refusal") -> Any:
        """Wait for a row of which this holds."""

        def found() -> list[dict[str, Any]]:
            if self.process.poll() is not None and self.process.stderr is not None:
                raise AssertionError(f"it has ended: {self.process.stderr.read()}")
            return [row for row in self.rows(event) if holds(row)]

        return until(found, shows=lambda: [row["MESSAGE"] for row in self.rows(event)])[0]

    def end(self, number: int = signal.SIGINT) -> int:
        """Its exit status."""
        self.process.send_signal(number)
        status = self.process.wait(60)
        self._reader.join(60)
        return status


@contextmanager
def watching(*options: str, before: Sequence[str] = ()) -> Iterator[Watching]:
    """A watch as long as the block goes on."""
    watch = Watching(*options, before=before)
    try:
        yield watch
    finally:
        if watch.process.poll() is None:
            watch.process.kill()
            watch.process.wait()
