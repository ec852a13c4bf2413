"""The outcome of a run, as a value: it needs no recorder."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from capadvise.model.caps import Credentials
    from capadvise.model.posture import Posture
    from capadvise.model.recording import Recording
    from capadvise.model.target import Target
    from capadvise.model.workload import Workload


@dataclass(frozen=True, slots=True)
class Observation:
    """The outcome of a run."""

    recordings: tuple[Recording, ...]
    """Several where a container was started several times, or a service has several."""
    target: Target
    workload: Workload
    posture: Posture
    check_passed: bool | None
    """None if there was no check, or it could never run."""
    check_said: str
    """The output of the last run of the check."""
    credentials: tuple[Credentials, ...]
    """Those of the processes that ran when the check passed."""
    listening: tuple[str, ...] = ()
    """The ports at which they waited: ``tcp:80``."""
    given_up: str | None = None
    """The reason why it was killed before its time was over: it could not pass its health check any
    more."""
    outlasting: tuple[str, ...] | None = None
    """The programs that went on after the main process had ended on the stop signal; None: they
    got that signal, too."""
    changed: tuple[str, ...] = ()
    """Files of the kernel and control groups of the machine that it changed, if the command said
    that these count."""
    sockets: tuple[str, ...] = ()
    """The local sockets that a trial tried to connect to."""
    engine_clients: tuple[tuple[int, tuple[str, ...]], ...] = ()
    """Clients of container engines that a command executed: uid and arguments. The containers are
    not its children, and so not seen."""

    @property
    def recording(self) -> Recording:
        """The first."""
        return self.recordings[0]

    def unfinished(self) -> Observation:
        """The observation as saved before its end: the last recording counts as cut short."""
        *others, last = self.recordings
        return replace(self, recordings=(*others, replace(last, interrupted=True)))


def working_directory() -> str:
    """The folder in which capadvise was called."""
    try:
        return os.getcwd()
    except OSError:  # it was removed below us
        return os.environ.get("PWD", "?")
