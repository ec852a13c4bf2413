"""The containers of a recording or a trial: which are ours, and what happens to them.

They carry a label. docker reports events as they happen; podman's containers are descendants of the
client, and each has a process that lives as long as it does. docker reports starts to a trial that
is not traced, too; it is then asked for the process.
"""

import json
import shlex
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import ClassVar

from capadvise.kernel import json_lines, procfs
from capadvise.kernel.background import Background
from capadvise.model.errors import BadInput
from capadvise.model.recording import ImageFile
from capadvise.targets.client.client import Client, EngineError
from capadvise.targets.client.container import SERVICE_LABEL, Container
from capadvise.targets.client.docker_client import DockerClient
from capadvise.targets.containers.container_starts import ContainerStarts, healthcheck_command
from capadvise.targets.image.ownership import changed_files

_LATE_SECONDS = 10.0
"""Seconds that docker may be late with the event that a container has ended."""


@dataclass(slots=True)
class ContainerState:
    """The known state of one container."""

    id: str
    name: str = ""
    image: str = ""
    service: str | None = None
    started: bool = False
    running: bool = False
    exit_status: int | None = None
    stopped: bool = False
    """We or another process asked its engine to stop or kill it."""
    healthy: bool = False
    """Its health check has passed at some time."""
    unhealthy: bool = False
    """Its health check has failed as often as its engine allows."""
    tries: int = 0
    """The number of commands that ended in it, mostly tries of its health check."""
    asked: Background[Container | None] | None = None
    image_files: tuple[ImageFile, ...] = ()
    """The changed files of its image at the last look."""

    @property
    def called(self) -> str:
        """Its service, its name, or the beginning of its id."""
        return self.service or self.name or self.id[:12]

    @property
    def answered(self) -> bool:
        """True if the engine has described it, or could not."""
        return self.asked is not None and self.asked.ended

    @property
    def container(self) -> Container | None:
        """The engine's description; None if it was gone too soon."""
        return self.asked.result() if self.asked else None

    def look_at_files(self, pid: int) -> tuple[ImageFile, ...]:
        """The changed files of its image until now or its removal. ``pid``: its first process."""
        if (container := self.container) is not None:
            self.image_files = changed_files(container, pid) or self.image_files
        return self.image_files


class Roster:
    """The containers with our label: podman's, and the part that both engines share."""

    reports_health: ClassVar[bool] = False
    """True if the engine makes health checks by itself and reports their results."""

    def __init__(self, client: Client, label: str, starts: ContainerStarts) -> None:
        self.client, self.label, self.starts = client, label, starts
        self.entries: dict[str, ContainerState] = {}
        self.unanswered = 0
        """The number of times in a row, a second apart, that the engine did not answer at all."""

    def open(self) -> None:
        """Begin to listen, before the client starts."""

    def close(self) -> None:
        """Listen no more."""

    def engine_ended(self) -> bool:
        """True if the engine ended during the run; it may be back."""
        return False

    def update(self) -> None:
        """Take note of what has happened since."""
        for place in list(self.starts.places.values()):
            if place.id and place.id not in self.entries:
                self.entry(place.id)

    def settle(self) -> None:
        """Note which containers are left after the end of the client."""
        for place in self.starts.places.values():
            if place.id is None:  # all that descends from the client is ours, named or not
                place.id = f"below {place.runtime}"
        self.update()
        alive = self.alive()
        for entry in self.entries.values():
            entry.running = False
            if entry.asked is not None:
                entry.asked.wait()  # only the answer names a service of podman-compose
            with suppress(EngineError, BadInput):
                container = self.client.find(entry.id)
                if container is not None:
                    # podman notes its end a moment later, and reports nothing then
                    entry.running = container.running and entry.id in alive
                    entry.exit_status = None if container.running else container.exit_status

    def running(self) -> list[str]:
        """Ids of those that run."""
        return [entry.id for entry in self.entries.values() if entry.running]

    def alive(self) -> list[str]:
        """Ids of those whose first process lives."""
        lives = {
            place.id
            for place in self.starts.places.values()
            if place.scope is not None and procfs.state(place.root) not in ("", "Z")
        }
        return [container for container in self.entries if container in lives]

    def left(self) -> list[str]:
        """The names of those that still exist, though they have ended."""
        with suppress(EngineError):
            there = set(self.client.labelled(self.label))
            return [e.name or e.id for e in self.entries.values() if e.id in there]
        return []

    def entry(self, container: str) -> ContainerState:
        """The entry of an id, made if it is new; the engine is asked for a description."""
        if container not in self.entries:
            self.entries[container] = ContainerState(container)
            self.ask(self.entries[container])
        return self.entries[container]

    def ask(self, entry: ContainerState) -> None:
        """Have the engine describe it."""
        entry.asked = Background(lambda: self._ask(entry))

    def _ask(self, entry: ContainerState) -> Container | None:
        try:
            container = self.client.find(entry.id)
        except (EngineError, BadInput):
            return None
        if container is not None:
            entry.name, entry.image = entry.name or container.name, entry.image or container.image
            entry.service = entry.service or container.service
            self.starts.checked_by[entry.id] = healthcheck_command(container.healthcheck)
        return container


class DockerRoster(Roster):
    """docker's containers, followed by the events of its API."""

    reports_health = True

    def open(self) -> None:
        """Subscribe to the events from now on. Raises EngineError."""
        assert isinstance(self.client, DockerClient)
        self._docker, self._since = self.client, time.time()
        self._stream = self._docker.events(self._since, self.label)
        self._stream.setblocking(False)
        self._events = json_lines.LineReader(self._stream.fileno())

    def close(self) -> None:
        """Listen no more."""
        self._stream.close()

    def engine_ended(self) -> bool:
        """True if the stream of events has ended."""
        self._read()
        return self._events.ended

    def update(self) -> None:
        """Read the events that have come."""
        self._read()
        if self._events.ended and self.running():  # the daemon is gone, or was restarted
            time.sleep(1)
            self.settle()

    def _read(self) -> None:
        for line in self._events.drain_lines():
            self.happened(line)

    def happened(self, line: bytes) -> None:
        """One event, as JSON."""
        try:
            event = json.loads(line)
            actor = event["Actor"]
            action, container, facts = str(event["Action"]), str(actor["ID"]), actor["Attributes"]
            facts = {str(name): str(value) for name, value in facts.items()}
            status = int(facts.get("exitCode", 0))
        except (ValueError, KeyError, TypeError, AttributeError):
            return
        entry = self.entry(container)
        entry.name, entry.image = facts.get("name", entry.name), facts.get("image", entry.image)
        entry.service = facts.get(SERVICE_LABEL, entry.service)
        if action == "start":
            self.started(entry)
        elif action == "die":
            entry.running = False
            entry.exit_status = status
        elif action == "kill":
            ending = entry.container.stop_signal if entry.container else signal.SIGTERM
            entry.stopped |= facts.get("signal") in (str(int(ending)), str(int(signal.SIGKILL)))
        elif action == "exec_die":
            entry.tries += 1
        elif action.startswith("health_status: "):
            entry.healthy |= action == "health_status: healthy"
            entry.unhealthy = action == "health_status: unhealthy"

    def started(self, entry: ContainerState) -> None:
        """A container has started, maybe once more."""
        entry.started, entry.running, entry.exit_status = True, True, None
        entry.stopped = False

    def settle(self) -> None:
        """Take over what docker lists, and wait for late events."""
        begun = {place.id for place in self.starts.places.values() if place.scope and place.id}
        try:
            listed = self.client.labelled(self.label)
            for container in [*listed, *self._gone_unheard(begun)]:
                self.entry(container)
            for entry in self.entries.values():
                entry.running = listed.get(entry.id, False)
                entry.started |= entry.running
            self.unanswered = 0
        except EngineError:
            self.unanswered += 1
        ended = [e for e in self.entries.values() if not e.running and (e.started or e.id in begun)]
        deadline = time.monotonic() + _LATE_SECONDS
        while time.monotonic() < deadline and not self._events.ended:
            self._read()
            if all(entry.exit_status is not None for entry in ended):
                return
            time.sleep(0.02)

    def _gone_unheard(self, begun: set[str]) -> list[str]:
        """The ids of containers that ended and were removed before the listener reported them. The
        engine is asked only if one of ``begun`` was never reported. Raises EngineError."""
        if begun <= self.entries.keys():
            return []
        ids = []
        for line in self._docker.past_events(self._since, self.label):
            with suppress(ValueError, KeyError, TypeError):
                ids.append(str(json.loads(line)["Actor"]["ID"]))
        return ids


def healthcheck(client: Client, container: Container, where: str = '"$CONTAINER"') -> str:
    """The container's own health check, executed inside it without the engine's interval."""
    command = shlex.join(healthcheck_command(container.healthcheck))
    return f"{shlex.join(client.argv)} exec {where} {command}"


class UntracedRoster(DockerRoster):
    """docker's containers of an untraced trial: an event reports a start, and docker is then asked
    for the process. If a container has ended by then, only its exit status is known."""

    def open(self) -> None:
        """Begin to listen."""
        self._started: dict[str, ContainerState] = {}
        super().open()

    def update(self) -> None:
        """Read the events that have come, and the answers."""
        super().update()
        for entry in [one for one in self._started.values() if one.answered]:
            root = entry.container.pid if entry.container else 0
            if shim := procfs.parent(root) if root else 0:
                self.starts.add_begun(shim, entry.id, root)
            elif entry.running:  # a busy engine may not have answered
                self.ask(entry)
                continue
            del self._started[entry.id]

    def entry(self, container: str) -> ContainerState:
        """The entry of an id. The engine is asked later, when the container has a process."""
        return self.entries.setdefault(container, ContainerState(container))

    def started(self, entry: ContainerState) -> None:
        """Ask for its first process."""
        super().started(entry)
        self.ask(entry)
        self._started[entry.id] = entry
