"""A unit that systemctl has started: it ends, not systemctl, and its manager stops it."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from contextlib import suppress

from capadvise.kernel.background import Background
from capadvise.model.errors import CannotObserve
from capadvise.observe.supervise.command_subject import CommandSubject
from capadvise.observe.supervise.decisions import (
    Finished,
    Happening,
    LeftBehind,
    MainExited,
    SupervisorLost,
)
from capadvise.targets.systemd import manager
from capadvise.targets.systemd.unit import ServiceUnit
from capadvise.targets.systemd.unit_starts import UnitStarts, processes

_EVERY = 0.25
"""Seconds between two questions to the manager."""


class UnitSubject:
    """One start of a unit. See ``event_loop.Subject``."""

    health = None

    def __init__(self, client: CommandSubject, unit: ServiceUnit, starts: UnitStarts) -> None:
        """``client``: systemctl."""
        self._client, self._unit, self._starts = client, unit.name, starts
        self._oneshot = unit.oneshot
        self.fds = client.fds
        self.status: int | None = None
        self.ended = False
        self.ended_by_us = False
        """It was told to stop: without that, it would have gone on."""
        self._asked: Background[ServiceUnit] | None = None
        self._next = 0.0
        self._stopping = self._finished = self._killed = False
        self._main = 0
        """Its main process, before it was told to stop."""

    @property
    def client_status(self) -> int | None:
        """Exit status of systemctl."""
        return self._client.status

    @property
    def begun(self) -> bool:
        """Whether its manager says that it is up: stopped before, its start fails. All that a
        oneshot does is its start."""
        started = self._oneshot or self._client.ended
        return started and self._starts.scope is not None

    @property
    def cautions(self) -> tuple[str, ...]:
        """What of the unit does not count."""
        return tuple(
            f"{path}: executed with a + prefix, and so with every capability whatever the set is: "
            "not counted"
            for path in sorted(self._starts.privileged)
        )

    def update(self) -> list[Happening]:
        """What the guardian and the manager tell."""
        told = self._client.update()
        happened: list[Happening] = [one for one in told if not isinstance(one, MainExited)]
        if any(isinstance(one, SupervisorLost) for one in happened):
            self.ended = True
        elif self._client.ended and (unit := self._look()) is not None:
            happened += self._judge(unit)
        return happened

    def _look(self) -> ServiceUnit | None:
        """As it is now, where it was asked for and the answer is there."""
        now = time.monotonic()
        if self._asked is None and now >= self._next:
            self._asked = Background(lambda: manager.show(self._unit))
        if self._asked is None or not self._asked.ended:
            return None
        asked, self._asked = self._asked, None
        self._next = now + _EVERY
        try:
            return asked.result()
        except CannotObserve:  # it is busy: daemon-reload. Or it is gone, and nobody can tell
            self.ended = self._killed
        return None

    def _judge(self, unit: ServiceUnit) -> list[Happening]:
        if not self._stopping:
            self._main = unit.main
            self._look_late(unit.main)
        elif self._main and unit.main not in (0, self._main):  # its socket has started it again
            self.status, self.ended = self._client.status or 0, True
            return []
        if not unit.runs:
            failed = self._client.status or (1 if unit.active == "failed" else 0)
            self.status = unit.status or failed
            self.ended = True
            return []
        if unit.sub == "exited" and not self._finished:  # RemainAfterExit=
            self._finished = True
            return [Finished()]
        return [LeftBehind()]

    def _look_late(self, main: int) -> None:
        """What it executed first can be gone before it is looked at: one that forks."""
        if not self._starts.main_seen:
            pids = self.pids()
            for pid in [main] if main in pids else pids[:1]:
                self._starts.look(pid)

    def pids(self) -> list[int]:
        """All in its control group."""
        return processes(self._unit)

    def check_environment(self) -> dict[str, str]:
        """``UNIT``."""
        return {"UNIT": self._unit}

    def signal(self, number: int, *, from_process: bool) -> None:
        """To systemctl while that lives; then it means the end."""
        if not self._client.ended:
            self._client.signal(number, from_process=from_process)
        elif number != signal.SIGHUP:
            self.stop()

    def note_ending(self) -> None:
        """Note that it has not ended by itself."""
        self.ended_by_us = not self._finished

    def stop(self) -> None:
        """As its manager stops it, with its ``ExecStop=``."""
        if not self._stopping:
            self._stopping = self._starts.stopping = True
            Background(lambda: _tried(manager.stop, self._unit))

    def end_rest(self) -> None:
        """Its manager ends what its main process leaves."""

    def kill(self) -> None:
        """At once, and the client too."""
        self._killed = True
        Background(lambda: _tried(manager.kill, self._unit))
        self._client.kill()
        self.stop()


def _tried(order: Callable[[str], None], unit: str) -> None:
    with suppress(CannotObserve):
        order(unit)
