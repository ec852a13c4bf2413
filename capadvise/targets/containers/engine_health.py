"""What the engine's own health checks say while a container runs: docker tells when one has ended,
and is asked then what came of it."""

from __future__ import annotations

from collections.abc import Iterable

from capadvise.kernel.background import Background
from capadvise.model.errors import BadInput
from capadvise.model.health import Health, ending
from capadvise.targets.client.client import Client, EngineError
from capadvise.targets.containers.containers import ContainerState


class EngineHealth:
    """Of the containers of a recording, by id."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._asked: dict[str, tuple[int, Background[Health | None]]] = {}
        self._known: dict[str, Health] = {}

    def look(self, entries: Iterable[ContainerState]) -> None:
        """Ask for what is new, one question at a time for each."""
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
        """What the last try said; None where none was made."""
        return self._known.get(entry.id)
