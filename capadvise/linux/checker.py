"""The user's check: a shell command that says whether the target did its job."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable

_EVERY = 0.1
"""Seconds between two tries."""


class Checker:
    """Runs the check without ever making the reader of the trace buffers wait.

    In the environment of the check, ``EXIT`` is the exit status of the target (empty while it
    runs) and ``PIDS`` its processes, separated by commas.
    """

    def __init__(self, script: str, mask: Iterable[int]) -> None:
        self.script, self._mask = script, set(mask)
        self._process: subprocess.Popen[bytes] | None = None
        self._next = 0.0
        self.said = ""

    def poll(self, status: int | None, pids: list[int]) -> bool | None:
        """Start a try, or look at the one under way: its result, None where there is none yet."""
        if self._process is None:
            if time.monotonic() >= self._next:
                self._start(status, pids)
            return None
        if self._process.poll() is None:
            return None
        passed = self._process.returncode == 0
        self.abandon()
        return passed

    def once(self, status: int | None, pids: list[int]) -> bool:
        """Run it to its end."""
        self.abandon()
        self._start(status, pids)
        assert self._process is not None
        passed = self._process.wait() == 0
        self.abandon()
        return passed

    def abandon(self) -> None:
        """End a try that is under way."""
        if self._process is not None:
            self._process.kill()
            output, _ = self._process.communicate()
            self.said = output.decode(errors="backslashreplace")[-1500:].strip()
        self._process = None
        self._next = time.monotonic() + _EVERY

    def _start(self, status: int | None, pids: list[int]) -> None:
        told = {
            "EXIT": "" if status is None else str(status),
            "PIDS": ",".join(map(str, pids)),
        }
        self._process = subprocess.Popen(
            [shutil.which("bash") or "/bin/sh", "-ec", self.script],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **told},
            # the check must not inherit that we block signals
            preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_SETMASK, self._mask),
        )
