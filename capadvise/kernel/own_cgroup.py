"""The control group of a target: what is in it is found and killed, whoever adopted it.

The standard library alone, for the launcher's sake.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time

_PATIENCE = 5.0
"""Seconds for what was killed to be gone."""


class OwnCgroup:
    """A group below the one that we are in."""

    def __init__(self, parent: int, name: str) -> None:
        """``parent``: a descriptor of our own group: the target can mount over its path. Raises
        OSError where it is none."""
        self.parent, self.name = parent, name
        self._folder = f"/proc/self/fd/{parent}/{name}"
        self.events = os.open(f"{self._folder}/cgroup.events", os.O_RDONLY | os.O_CLOEXEC)
        """``select`` calls it exceptional when ``populated`` changes."""

    def join(self) -> None:
        """Enter it, with this process. Without, what it would be good for is lost, no more."""
        with contextlib.suppress(OSError):
            self._write("cgroup.procs", "0")

    def populated(self) -> bool:
        """Whether anything is in it, or in a group that the target made below it."""
        try:
            return b"populated 1" in os.pread(self.events, 4096, 0)
        except OSError:  # it was removed
            return False

    def pids(self) -> list[int]:
        """What is in it; what belongs to no namespace that we see is left out."""
        pids: list[int] = []
        for folder, _, _ in os.walk(self._folder):
            with contextlib.suppress(OSError), open(f"{folder}/cgroup.procs") as file:
                pids += [pid for line in file if (pid := int(line))]
        return pids

    def kill(self) -> None:
        """SIGKILL to all that is in it."""
        try:
            self._write("cgroup.kill", "1")
        except OSError:  # before Linux 5.14
            for number in (signal.SIGSTOP, signal.SIGKILL):
                for pid in self.pids():
                    with contextlib.suppress(OSError):
                        os.kill(pid, number)

    def end(self) -> None:
        """Kill what is in it, and remove it."""
        end = time.monotonic() + _PATIENCE
        while self.populated() and time.monotonic() < end:
            self.kill()
            time.sleep(0.002)
        for folder, _, _ in os.walk(self._folder, topdown=False):
            with contextlib.suppress(OSError):
                try:
                    os.rmdir(folder)
                except PermissionError:  # a folder of the caller's: what is executed may do it
                    import subprocess  # rarely, and it takes its time

                    subprocess.run(
                        ["rmdir", folder], pass_fds=[self.parent], stderr=subprocess.DEVNULL
                    )

    def _write(self, name: str, text: str) -> None:
        fd = os.open(f"{self._folder}/{name}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)
