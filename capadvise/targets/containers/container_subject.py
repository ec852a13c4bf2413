"""Containers that a client has started: they end, not the client, and the engine stops them."""

import os
import re
import signal
from collections.abc import Iterable
from contextlib import suppress
from functools import partial

from capadvise.catalog.known_index import INITS
from capadvise.kernel import procfs, serving
from capadvise.kernel.background import Background
from capadvise.kernel.process_tree import descendants, seen_below
from capadvise.model.errors import BadInput
from capadvise.model.health import Health, ending
from capadvise.observe.supervise.command_subject import CommandSubject
from capadvise.observe.supervise.decisions import (
    Happening,
    HealthCheckKnown,
    MainExited,
    Moment,
    Unhealthy,
)
from capadvise.targets.client.client import Client, EngineError
from capadvise.targets.client.container import GRACE
from capadvise.targets.containers.container_starts import StartedContainer
from capadvise.targets.containers.containers import ContainerState, Roster, healthcheck
from capadvise.targets.containers.settling import Settling


class EngineHealth:
    """The results of the engine's own health checks: docker reports the end of each try."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._asked: dict[str, tuple[int, Background[Health | None]]] = {}
        self._known: dict[str, Health] = {}

    def look(self, entries: Iterable[ContainerState]) -> None:
        """Ask for new results, one question at a time for each container."""
        for entry in entries:
            number, asked = self._asked.get(entry.id, (0, None))
            if asked is not None and asked.ended and (seen := asked.result()):
                self._known[entry.id] = seen
            if entry.tries > number and (asked is None or asked.ended):
                self._ask(entry)

    def _ask(self, entry: ContainerState) -> None:
        name = entry.id
        self._asked[name] = entry.tries, Background(lambda: self._last_try(name))

    def _last_try(self, container: str) -> Health | None:
        try:
            known = self._client.find(container)
        except (EngineError, BadInput):
            return None
        tried = known.last_health_try if known else None
        if tried is None:
            return None
        status, output = tried
        return Health(status == 0, ending(status, output))

    def of(self, entry: ContainerState) -> Health | None:
        """The result of the last try; None if there was none."""
        return self._known.get(entry.id)


_LOG_LINES = 5
_SILENT_SECONDS = 10
"""Seconds that an engine may be silent: restarting it takes less."""
_GONE = (
    "the engine ended and did not come back, so the container was killed; if it is still "
    "listed, remove it: it has every capability"
)


class ContainerSubject:
    """The containers of one call of a client. See ``event_loop.Subject``."""

    def __init__(
        self,
        client: CommandSubject,
        roster: Roster,
        *,
        patience: float,
        detached: bool,
        target: str | None = None,
        until_healthy: bool = False,
        judged_by: str | None = None,
    ) -> None:
        """``client``: the engine's client, which starts the containers. ``patience``: seconds that
        a container gets to stop, unless its engine gives it less. ``detached``: the client ends at
        once. ``target``: the service that ends the run; None: all of them. ``until_healthy``: their
        own health checks end the run. ``judged_by``: the health check of a trial; if it is the
        container's own, the engine can end the run, too."""
        self.roster, self._client, self.patience = roster, client, patience
        self._detached, self._target, self._until_healthy = detached, target, until_healthy
        self._judged_by = judged_by
        self.fds = client.fds
        self.cautions: tuple[str, ...] = ()
        self.status: int | None = None
        self.ended = False
        self.ended_by_us: frozenset[str] = frozenset()
        """The ids of those that ran until their stop began."""
        self.engine_health = EngineHealth(roster.client)
        self._settlings: dict[str, Settling] = {}
        self._noted_ending = self._settled = self._stopping = self._killed = False

    @property
    def client_status(self) -> int | None:
        """Exit status of the client."""
        return self._client.status

    @property
    def begun(self) -> bool:
        """True if a container that the run is about has started."""
        entries = list(self.roster.entries.values())
        return any(self.is_target(entry) and self.places(entry) for entry in entries)

    @property
    def health(self) -> Health | None:
        """The engine's health checks: the first failure, named if there are several containers."""
        entries = list(self.roster.entries.values())
        results = [(entry, self.engine_health.of(entry)) for entry in entries if not entry.healthy]
        failing = [(entry, seen) for entry, seen in results if seen and not seen.passed]
        for entry, seen in failing[:1]:
            name = f" ({entry.service or entry.name})" if len(entries) > 1 else ""
            return Health(False, f"{seen.text}{name}")
        passed = any(entry.healthy for entry in entries)
        return Health(True) if passed else None

    # ------------------------------------------------------------ events

    def update(self) -> list[Happening]:
        """Read the reports of the guardian, the kernel and the engine."""
        happened = list(self._client.update())
        if Moment.SUPERVISOR_LOST in happened:
            self.roster.client.remove(list(self.roster.entries))
            self.ended = True
            return happened
        self.roster.update()
        self.engine_health.look(self.roster.entries.values())
        if any(isinstance(event, MainExited) for event in happened):
            self._client_exited()
            happened += self._given_up()
        if self.roster.unanswered > _SILENT_SECONDS:
            self._engine_is_gone()
            happened.append(Moment.SUPERVISOR_LOST)
        happened += [*self._target_ended(), *self._healthy()]
        return [*happened, *self._left_behind()] if self._client.ended else happened

    def _client_exited(self) -> None:
        """The client's exit status is the container's, unless the container goes on without it."""
        goes_on = self.roster.running() or (self._detached and self._client.status == 0)
        if self._target is None and not goes_on:
            self.status = self._client.status

    def _given_up(self) -> list[Happening]:
        """Give up if the client of a recording has failed: it will not start what it has only
        created, and the other containers would wait for that forever."""
        status = self._client.status or 0
        if status <= 0 or self._target is not None or self._noted_ending:
            return []
        waiting: list[str] = []
        for entry in self.roster.entries.values():
            with suppress(EngineError, BadInput):
                container = None if self.places(entry) else self.roster.client.find(entry.id)
                if container is not None and not container.running and not container.has_ended:
                    waiting.append(container.service or container.name)
        text = f"{', '.join(waiting)}: not started, {self.roster.client.engine} ended with {status}"
        return [Unhealthy(text)] if waiting else []

    def _target_ended(self) -> list[Happening]:
        """End a trial with its container: the others do not matter. If the engine cannot execute
        its program, it reports no end; the client fails, and leaves the others running."""
        if self._target is None or self.status is not None:
            return []
        targets = [entry for entry in self.roster.entries.values() if self.is_target(entry)]
        statuses = [entry.exit_status for entry in targets if entry.exit_status is not None]
        if (failed := self._client.status or 0) > 0 and not any(e.running for e in targets):
            statuses.append(failed)
        self.status = next(iter(statuses), None)
        return [] if self.status is None else [Moment.FINISHED]

    def _healthy(self) -> list[Happening]:
        """docker reports when they are well; podman leaves that to systemd, so we make the
        checks."""
        entries = list(self.roster.entries.values())
        judged = [one for one in entries if self._until_healthy or self._is_judged(one)]
        if failed := [one for one in judged if one.unhealthy]:
            self._until_healthy, self._judged_by = False, None
            return [Unhealthy(self._health_output(failed[0]))]
        if not self._until_healthy:
            return []
        if own := self._own_check(entries):
            if not all(map(self._is_well, self._unchecked(entries))):
                return []  # a service of podman-compose has no check
            self._until_healthy = False
            return [HealthCheckKnown(own)]
        well = [self._is_well(entry) for entry in entries if self.is_target(entry)]
        return [Moment.FINISHED] if well and all(well) and self.roster.alive() else []

    def _own_check(self, entries: list[ContainerState]) -> str | None:
        """The health check that is made here, not by the engine."""
        if self.roster.reports_health:
            return None
        known = [entry.container for entry in entries if entry.answered]
        checked = [one for one in known if one is not None and one.healthcheck]
        if not checked:
            return None
        return healthcheck(self.roster.client, checked[0], checked[0].id)  # one of several

    def _unchecked(self, entries: list[ContainerState]) -> list[ContainerState]:
        checked_by = self.roster.starts.checked_by
        return [one for one in entries if self.is_target(one) and not checked_by.get(one.id)]

    def _is_judged(self, entry: ContainerState) -> bool:
        """True if the trial's health check is the engine's own check of this container."""
        container = entry.container if entry.unhealthy and entry.answered else None
        own = healthcheck(self.roster.client, container) if container else None
        return own is not None and own == self._judged_by and self.is_target(entry)

    def _is_well(self, entry: ContainerState) -> bool:
        """True if its health check passed, or it has none and nothing changes, or it ended."""
        if entry.healthy or (entry.started and not entry.running):
            return True
        places = self.places(entry)
        if not entry.answered or self.roster.starts.checked_by.get(entry.id) or not places:
            return False
        settling = self._settlings.setdefault(entry.id, Settling())
        root = places[-1].root
        ports = entry.container.ports if entry.container else []
        expects = any(port < serving.CHOSEN for port in ports)
        settling.look(root, lambda: [root, *seen_below(root)], expects=expects)
        return settling.settled

    def implicit_check(self, entry: ContainerState) -> str | None:
        """The check that replaces a health check if the container has none."""
        settling = self._settlings.get(entry.id)
        return settling.check if settling else None

    def _health_output(self, entry: ContainerState) -> str:
        """The last output of a container and of its health check."""
        with suppress(EngineError, BadInput):
            container = self.roster.client.find(entry.id)
            checks = container.health_log if container else ()
            text = f"{entry.called} is unhealthy: {checks[-1] if checks else ''}"
            return "\n".join([*self._last_lines(entry), text])
        return f"{entry.called} is unhealthy"

    def _last_lines(self, entry: ContainerState) -> list[str]:
        """The last output of a container. Raises EngineError if the engine keeps no logs."""
        out, err = self.roster.client.logs(entry.id)
        return [line for line in (out + err).splitlines() if line.strip()][-_LOG_LINES:]

    def last_output(self) -> list[str]:
        """The last output of the detached containers that failed, which nobody has seen."""
        lines: list[str] = []
        for entry in self.roster.entries.values() if self._detached else ():
            if entry.exit_status and entry.id not in self.ended_by_us:
                with suppress(EngineError):
                    lines += [f"{entry.called}: {line}" for line in self._last_lines(entry)]
        return lines

    def _left_behind(self) -> list[Happening]:
        """Note whether the containers ended with the client, or go on without it."""
        if not self._settled:
            self.roster.settle()
            self._settled = True
        if self.roster.running():
            return [Moment.LEFT_BEHIND]
        if self.status is None:
            statuses = [e.exit_status for e in self.roster.entries.values()]
            ended = [status for status in statuses if status is not None]
            self.status = max(ended, default=self._client.status)
        self.ended = True
        return []

    def _engine_is_gone(self) -> None:
        """Kill the containers: they have every capability, and nobody else would."""
        self.cautions = (_GONE,)
        self.note_ending()
        for place in self.roster.starts.places.values():
            if place.id in self.roster.entries:
                for pid in (*descendants(place.runtime), place.runtime):
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
        for entry in self.roster.entries.values():
            entry.running = False

    # ------------------------------------------------------------ orders

    def signal(self, number: int, *, from_process: bool) -> None:
        """Pass a signal to the client; if it has ended, stop the containers."""
        if not self._client.ended:
            self._client.signal(number, from_process=from_process)
        elif number != signal.SIGHUP and not self.ended:
            self.stop()

    def note_ending(self) -> None:
        """Note which of them run."""
        if not self._noted_ending:
            self._noted_ending = True
            self.roster.update()
            self.ended_by_us = frozenset(self.roster.alive())

    def stop(self) -> None:
        """Stop the containers as their engine does."""
        if not self._stopping:
            self._stopping = True
            for entry in self.roster.entries.values():  # some are removed as they end
                for place in self.places(entry):
                    entry.look_at_files(place.root)
            client, entries = self.roster.client, list(self.roster.entries.values())
            ignoring = [entry.id for entry in entries if self._ignores_stop(entry)]
            Background(lambda: client.kill(ignoring))
            together: dict[float, list[str]] = {}
            for entry in entries:
                if entry.id not in ignoring:
                    own = entry.container.stop_seconds if entry.container else GRACE
                    together.setdefault(min(own, self.patience), []).append(entry.id)
            for seconds, ids in together.items():
                Background(partial(client.stop, ids, seconds))

    def _ignores_stop(self, entry: ContainerState) -> bool:
        """True if the stop signal has no effect, and the engine would wait for nothing: the kernel
        does not let a signal without a handler end the first process of a namespace."""
        container = entry.container if entry.answered else None
        places = self.places(entry)
        if container is None or not places:
            return False
        root = places[-1].root
        if procfs.comm(root) in INITS:
            return False  # it waits for signals, without a handler for them
        return procfs.is_first(root) and not procfs.handles(root, container.stop_signal)

    def end_rest(self) -> None:
        """End the processes that the client leaves."""
        self._client.end_rest()

    def kill(self) -> None:
        """Kill the containers and the client at once."""
        if not self._killed:
            self._killed = True
            containers = list(self.roster.entries)
            Background(lambda: self.roster.client.kill(containers))
            self._client.kill()

    # ------------------------------------------------------------ the containers

    def is_target(self, entry: ContainerState) -> bool:
        """True if the run is about this container and not about another service."""
        return self._target in (None, entry.service)

    def places(self, entry: ContainerState) -> list[StartedContainer]:
        """The starts of a container."""
        return [
            place
            for place in self.roster.starts.places.values()
            if place.scope is not None and place.id == entry.id
        ]

    def pids(self) -> list[int]:
        """The processes of the target's containers."""
        wanted = [
            place.root
            for entry in self.roster.entries.values()
            if self.is_target(entry)
            for place in self.places(entry)
            if os.path.isdir(f"/proc/{place.root}")
        ]
        return [pid for root in wanted for pid in (root, *seen_below(root))]

    def check_environment(self) -> dict[str, str]:
        """``CONTAINER`` and ``PID``; with several services also ``CONTAINER_WEB`` and so on."""
        variables: dict[str, str] = {}
        for entry in self.roster.entries.values():
            if entry.service:
                variables[f"CONTAINER_{re.sub('[^A-Z0-9]', '_', entry.service.upper())}"] = entry.id
            if self.is_target(entry):
                variables.setdefault("CONTAINER", entry.id)
                for place in self.places(entry):
                    variables["PID"] = str(place.root)
        return variables
