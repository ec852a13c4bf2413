"""What /proc shows of something that was allowed: pointers among a call's arguments are not
followed, but the port that it bound, or the ids that it mapped, are to be seen there for a while.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

from capadvise.kernel import procfs, user_namespaces
from capadvise.model.caps import Cap
from capadvise.observe.tracking.tasks import Key, Scope, Task

_LOOKS = 50
"""So many rounds something is looked for: it is there at once, or is gone again."""
_YOUNGEST = 256
"""So many threads are looked at for a user namespace whose map was just written."""
_NET_BIND_SERVICE = Cap.parse("NET_BIND_SERVICE")
_KINDS = {int(Cap.parse("SETUID")): "uid", int(Cap.parse("SETGID")): "gid"}
"""What who writes the map of a user namespace is asked for, by its kind of ids."""
_MOST_MAPPERS = 256
_WRITES_MAP = "map_write"


CAPS = frozenset({_NET_BIND_SERVICE, *_KINDS})
"""What may show, once it was allowed."""


class ShownInProc:
    """Looks each round, until it has found what it waits for."""

    def __init__(self, site: Callable[[bytes], tuple[tuple[str, ...], str | None]]) -> None:
        """``site``: see ``DistinctChecks.site``."""
        self._site = site
        self._ports: dict[int, list[str]] = {}
        """Low ports by the process that bound them."""
        self._binders: dict[int, int] = {}
        self._mapped: dict[tuple[int, int], dict[int, int]] = {}
        """User namespace → the highest id that it maps, by scope and capability."""
        self._mappers: dict[tuple[int, int], set[int]] = {}
        """Who wrote maps: each that of another user namespace."""
        self._looking: dict[tuple[int, int], int] = {}

    def allowed(self, scope: Scope, pid: int, cap: int, stack: bytes, *, first: bool) -> None:
        """A process was allowed something; ``first``: no other was before it."""
        if cap == _NET_BIND_SERVICE:
            if first:
                self._binders[pid] = _LOOKS
        elif cap in _KINDS and _WRITES_MAP in self._site(stack)[0]:
            mappers = self._mappers.setdefault((scope.number, cap), set())
            if len(mappers) < _MOST_MAPPERS:
                mappers.add(pid)
            self._looking[scope.number, cap] = _LOOKS

    def look(self, tasks: dict[int, Task]) -> None:
        """Which ports were bound, and which ids mapped."""
        for pid, rounds in list(self._binders.items()):
            ports = procfs.low_ports(pid)
            if ports:
                self._ports[pid] = ports
            if ports or rounds == 1:
                del self._binders[pid]
            else:
                self._binders[pid] = rounds - 1
        for (number, cap), rounds in list(self._looking.items()):
            known = self._mapped.setdefault((number, cap), {})
            young = islice(reversed(tasks.items()), _YOUNGEST)
            mine = [pid for pid, task in young if task.scope and task.scope.number == number]
            known.update(filter(None, (user_namespaces.mapped(pid, _KINDS[cap]) for pid in mine)))
            if len(known) >= len(self._mappers[number, cap]) or rounds == 1:
                del self._looking[number, cap]
            else:
                self._looking[number, cap] = rounds - 1

    def ports(self, cap: int, pid: int) -> str | None:
        """Those that the process of a check has bound."""
        if cap != _NET_BIND_SERVICE or pid not in self._ports:
            return None
        return ", ".join(self._ports[pid])

    def ids(self, key: Key, scope: Scope) -> tuple[tuple[str, int], ...]:
        """The highest one that checks about mapping were for, as an argument; empty where not all
        maps were seen, or the check was for something else."""
        known = self._mapped.get((scope.number, key.cap))
        if not known or _WRITES_MAP not in self._site(key.stack)[0]:
            return ()
        if len(known) < len(self._mappers[scope.number, key.cap]):
            return ()
        return ((_KINDS[key.cap], max(known.values())),)
