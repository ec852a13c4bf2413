"""Watching containers: they end, not the client that started them, and the engine stops them."""

from __future__ import annotations

import os
import re
import signal
from contextlib import suppress
from dataclasses import replace
from typing import Any

from capadvise.linux.engines.record.container_starts import Place
from capadvise.linux.engines.record.containers import Entry, Roster, healthcheck
from capadvise.linux.kernel.background import Background
from capadvise.linux.kernel.process_tree import descendants
from capadvise.linux.supervise.event_loop import Watch
from capadvise.linux.supervise.health_check import Checker
from capadvise.recording import Recording

_UNANSWERED = 10
"""Seconds that an engine may be silent: it takes less to start it anew."""
_GONE = (
    "the engine ended meanwhile and did not come back, so the container was killed; where it is "
    "still listed, it has every capability: remove it"
)


class ContainerWatch(Watch):
    """The time between the client's exec and the end of the last container."""

    def __init__(
        self,
        roster: Roster,
        *args: Any,
        detached: bool,
        target: str | None = None,
        until_healthy: bool = False,
    ) -> None:
        """``detached``: the client ends at once. ``target``: the service whose end is the end of
        all; None: all of them count. ``until_healthy``: their healthchecks end the run."""
        super().__init__(*args)
        self.roster, self.detached, self.target = roster, detached, target
        self.until_healthy = until_healthy
        self.client_status: int | None = None
        self.stopped: frozenset[str] | None = None
        """Ids of those that ran when they were told to stop: without that, they would have gone on.
        """
        self._settled = False
        self._killing: Background[None] | None = None
        self._engine_gone = False

    def _over(self) -> bool:
        self.roster.update()
        if self.roster.unanswered > _UNANSWERED:
            self._engine_is_gone()
        self._tell_checker()
        if self.stopped is None and (self.interrupted or self.kill_at is not None):
            self.stopped = frozenset(self.roster.alive())
        if self.target and self.status is None:
            self._target_ended()
        if self.until_healthy:
            self._until_healthy()
        if not self.empty:
            return False
        if not self._settled:
            self.roster.settle()
            self._settled = True
        if self.roster.running():
            if self.interrupted:
                self.stop()
            return False
        if self.status is None:
            ended = [
                e.exit_status for e in self.roster.entries.values() if e.exit_status is not None
            ]
            self.status = max(ended, default=self.client_status)
        return True

    def _until_healthy(self) -> None:
        """docker says when they are well; podman's healthchecks are a matter of systemd, and are
        made here."""
        if self.roster.client.engine == "docker":
            if self.roster.all_checked():
                self.stop()
        elif self.checker is None:
            found = [e.container for e in self.roster.entries.values() if e.answered]
            tests = [one for one in found if one is not None and one.healthcheck]
            if tests:
                check = healthcheck(self.roster.client, tests[0])
                self.checker = Checker(check, self.signals.before, self.command.check_limit)

    def is_target(self, entry: Entry) -> bool:
        """Whether it is what the run is about, not another service."""
        return self.target in (None, entry.service)

    def _target_ended(self) -> None:
        """The container of a trial has ended: what the others do is of no interest."""
        for entry in self.roster.entries.values():
            if self.is_target(entry) and entry.exit_status is not None:
                self.status = entry.exit_status
                self.stop()

    def _exited(self, status: int) -> None:
        """The client's exit status is the container's, unless the container goes on without it."""
        self.client_status = status
        self.roster.update()
        goes_on = self.roster.running() or (self.detached and status == 0)
        if self.target is None and not goes_on:
            self.status = status

    def _pass_on(self, number: int, *, from_process: bool) -> None:
        if not self.empty:
            super()._pass_on(number, from_process=from_process)
        elif number != signal.SIGHUP:
            self.stop()

    def stop(self) -> None:
        """As the engine stops a container."""
        if self.kill_at is None:
            for entry in self.roster.entries.values():  # some are removed as they end
                for place in self.places(entry):
                    entry.look_at_files(place.root)
            super().stop()
            self.kill_at = (self.kill_at or 0) + self.command.patience  # the engine waits so long

    def _terminate(self) -> None:
        Background(lambda: self.roster.client.stop(self._ids(), self.command.patience))

    def _kill(self) -> None:
        if self._killing is None:
            self._killing = Background(lambda: self.roster.client.kill(self._ids()))
            self.guardian.tell("kill")

    def _engine_is_gone(self) -> None:
        """It was killed. Its containers go on without it, with every capability: nobody else would
        end them."""
        self._engine_gone = self.interrupted = True
        for place in self.roster.starts.places.values():
            if place.id in self.roster.entries:
                for pid in (*descendants(place.runtime), place.runtime):
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
        for entry in self.roster.entries.values():
            entry.running = False

    def recording(self, *args: Any, **named: Any) -> Recording:
        """As of a command, and what became of the engine."""
        seen = super().recording(*args, **named)
        return replace(seen, cautions=(*seen.cautions, _GONE)) if self._engine_gone else seen

    def _ids(self) -> list[str]:
        return list(self.roster.entries)

    def _guardian_is_gone(self) -> None:
        super()._guardian_is_gone()
        self.roster.client.remove(self._ids())

    def places(self, entry: Entry) -> list[Place]:
        """Where a container began, once for each start."""
        return [
            place
            for place in self.roster.starts.places.values()
            if place.scope is not None and place.id == entry.id
        ]

    def _pids(self) -> list[int]:
        wanted = [
            place.root
            for entry in self.roster.entries.values()
            if self.is_target(entry)
            for place in self.places(entry)
            if os.path.isdir(f"/proc/{place.root}")
        ]
        return [pid for root in wanted for pid in (root, *descendants(root))]

    def _tell_checker(self) -> None:
        """``CONTAINER`` and ``PID``; with several services also ``CONTAINER_WEB`` and so on."""
        if self.checker is None:
            return
        told = self.checker.told
        for entry in self.roster.entries.values():
            if entry.service:
                told[f"CONTAINER_{re.sub('[^A-Z0-9]', '_', entry.service.upper())}"] = entry.id
            if self.is_target(entry):
                told.setdefault("CONTAINER", entry.id)
                for place in self.places(entry):
                    told["PID"] = str(place.root)
