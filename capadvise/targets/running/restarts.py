"""Something whose first process has ended: whether it is started again, as ``docker restart``,
``systemctl restart`` and restart policies do."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from capadvise.kernel import procfs
from capadvise.kernel.background import Background
from capadvise.model.errors import BadInput, CannotObserve
from capadvise.targets.client.client import EngineError
from capadvise.targets.containers import registry
from capadvise.targets.systemd import manager
from capadvise.targets.systemd.unit import ServiceUnit
from capadvise.targets.systemd.unit_starts import processes

_GRACE = 3.0
"""Seconds between a stop and the next start, where nobody says that there will be one."""
_EVERY = 0.1


@dataclass(frozen=True, slots=True)
class Again:
    """What whoever starts it says of it now."""

    pid: int
    """Of its first process; 0: none."""
    coming: bool
    """It is being started, or will be."""


class Restarts:
    """Asks, without making the reader of the trace buffers wait."""

    def __init__(self, ask: Callable[[], Again | None]) -> None:
        """``ask``: None where there is no such thing any more."""
        self._ask = ask
        self._since: float | None = None
        self._next = 0.0
        self._asked: Background[Again | None] | None = None

    def look(self) -> int:
        """Its first process, once it runs again; else 0."""
        now = time.monotonic()
        self._since = self._since or now
        if self._asked is None and now >= self._next:
            self._asked = Background(self._ask)
        if self._asked is None or not self._asked.ended:
            return 0
        known, self._asked = self._asked.result(), None
        self._next = now + _EVERY
        if known is not None and known.coming:
            self._since = now
        if known is None:  # it was removed
            self._since = now - 2 * _GRACE
        if known is None or not known.pid:
            return 0
        self._since = None
        return known.pid

    @property
    def over(self) -> bool:
        """Whether it does not come again."""
        return self._since is not None and time.monotonic() - self._since > _GRACE


def container_again(engine: str, container: str) -> Again | None:
    """As its engine says."""
    for client in registry.clients(engine):
        with suppress(EngineError, BadInput):
            if (known := client.find(container)) is None:
                return None
            return Again(known.pid, known.restarting)
    return None


def unit_again(name: str) -> Again | None:
    """As its manager says; one that does not answer is busy."""
    try:
        unit = manager.show(name)
    except CannotObserve:
        return Again(0, coming=True)
    return Again(first_process(unit) if unit.runs else 0, coming=unit.runs)


def first_process(unit: ServiceUnit) -> int:
    """The main one of a unit's processes, else one that the manager has started; 0: none."""
    keeper = manager.pid()
    pids = processes(unit.name)
    if keeper == 1 and unit.main in pids:
        return unit.main
    below = [pid for pid in pids if procfs.parent(pid) == keeper]
    return next(iter((*below, *pids)), 0)
