"""The user's health check: a shell command that succeeds if the target did its job."""

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from capadvise.model.health import Health, ending
from capadvise.model.workload import IMPLICIT_CHECK

_EVERY, _EVERY_AT_MOST = 0.1, 0.5
"""Seconds between two tries: as long as a try takes, which leaves half of a processor to the
target."""

IMPLICIT = (sys.executable, "-I", "-S", str(Path(__file__).with_name("implicit_check.py")))
"""The check for containers without one: a program, since imports take most of its time."""
_STARTS, _STARTS_YET = 2.0, 10.0
"""Seconds that it waits for missing ports and programs, at the first try and at later ones.
Starting it again and again would take the processor from the target."""
_ANSWERS = 3.0
"""Seconds that it may take for the rest."""


class Checker:
    """Runs the check without ever making the reader of the trace buffers wait.

    In the environment of the check, ``EXIT`` is the exit status of the target (empty while it
    runs) and ``PIDS`` its processes, separated by commas.
    """

    def __init__(self, script: str, mask: Iterable[int], limit: float) -> None:
        """``limit``: seconds for one try, which then has failed."""
        self.script, self._mask, self._limit = script, set(mask), limit
        self._began = self._until = 0.0
        self._process: subprocess.Popen[bytes] | None = None
        # A pipe would fill up, and be held open by daemons.
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the checker lives
        self._next = 0.0
        self._passed = self._tried = False
        self._status: int | None = None
        """The exit status of the last try that has ended; None: it took too long."""

    @property
    def health(self) -> Health:
        """How the last try ended."""
        return Health(self._passed, ending(self._status, self.output))

    @property
    def output(self) -> str:
        """The end of what the last try printed."""
        size = self._output.seek(0, os.SEEK_END)
        self._output.seek(max(0, size - 1500))
        return self._output.read().decode(errors="backslashreplace").strip()

    def poll(
        self,
        status: int | None,
        pids: Callable[[], list[int]],
        more: Callable[[], dict[str, str]] = dict,
    ) -> bool | None:
        """Start a try, or look at the one under way: its result, None where there is none yet.

        ``pids``, and what the environment holds ``more``, are asked for only for a new try: that
        reads all of /proc.
        """
        if self._process is None:
            if time.monotonic() >= self._next:
                self._start(status, pids(), more())
            return None
        if self._process.poll() is None and time.monotonic() < self._until:
            return None
        self._status, self._tried = self._process.returncode, True
        self._passed = passed = self._status == 0
        self.abandon()
        now = time.monotonic()
        self._next = now + min(_EVERY_AT_MOST, max(_EVERY, now - self._began))
        return passed

    def abandon(self) -> None:
        """End a try that is under way, with all that it started in its session."""
        if self._process is not None:
            # PermissionError: a check of an ordinary user that has become root, by sudo
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._process = None
        self._next = 0.0

    def _start(self, status: int | None, pids: list[int], more: dict[str, str]) -> None:
        about = {"EXIT": "" if status is None else str(status), "PIDS": ",".join(map(str, pids))}
        ours = _implicit_check(again=self._tried, limit=self._limit)
        self._output.seek(0)
        self._output.truncate()
        self._began = time.monotonic()
        self._until = self._began + self._limit
        self._process = subprocess.Popen(
            [shutil.which("bash") or "/bin/sh", "-ec", self.script],
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, **ours, **more, **about},
            # the check must not inherit that we block signals
            preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_SETMASK, self._mask),
        )


def _implicit_check(*, again: bool, limit: float) -> dict[str, str]:
    """For the environment of a check. ``again``: a try has failed before. ``limit``: seconds after
    which it is killed, and cannot say what was missing any more."""
    starts = min(_STARTS_YET if again else _STARTS, max(limit - _ANSWERS, limit / 2))
    words = [*IMPLICIT, f"--starts={starts:g}"]
    if not set("".join(words)) & set(" \t\n*?["):
        return {IMPLICIT_CHECK: " ".join(words)}
    # Checks name the variable without quotes: the shell splits what it holds at each blank, also in
    # the names of folders. A shell of its own reads the second variable as it was written.
    inner = f"{IMPLICIT_CHECK}_WORDS"
    return {
        IMPLICIT_CHECK: f'sh -c eval${{IFS}}"${inner}" sh',
        inner: f'exec {shlex.join(words)} "$@"',
    }
