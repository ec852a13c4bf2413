"""A container whose first process has ended: whether its engine starts it again, as ``docker
restart`` and restart policies do."""

from __future__ import annotations

import time
from contextlib import suppress

from capadvise.errors import BadInput
from capadvise.linux.engines.cli.client import EngineError
from capadvise.linux.engines.cli.container import Container
from capadvise.linux.engines.record import registry
from capadvise.linux.kernel.background import Background

_GRACE = 3.0
"""Seconds between a stop and the next start, where nobody says that there will be one."""
_EVERY = 0.1


class Restarts:
    """Asks the engine, without making the reader of the trace buffers wait."""

    def __init__(self, engine: str, container: str) -> None:
        self._engine, self._container = engine, container
        self._since: float | None = None
        self._next = 0.0
        self._asked: Background[Container | None] | None = None

    def look(self) -> Container | None:
        """The container, once it runs again."""
        now = time.monotonic()
        self._since = self._since or now
        if self._asked is None and now >= self._next:
            self._asked = Background(self._ask)
        if self._asked is None or not self._asked.ended:
            return None
        known, self._asked = self._asked.result(), None
        self._next = now + _EVERY
        if known is not None and known.restarting:
            self._since = now
        if known is None:  # it was removed
            self._since = now - 2 * _GRACE
        if known is None or not known.pid:
            return None
        self._since = None
        return known

    @property
    def over(self) -> bool:
        """Whether it does not come again."""
        return self._since is not None and time.monotonic() - self._since > _GRACE

    def _ask(self) -> Container | None:
        for client in registry.clients(self._engine):
            with suppress(EngineError, BadInput):
                return client.find(self._container)
        return None
