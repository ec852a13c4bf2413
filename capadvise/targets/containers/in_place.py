"""Containers that an engine has already: those that a start would replace, the data that they
write, and leftovers of a capadvise that was killed."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from capadvise.kernel import procfs
from capadvise.targets.client.client import (
    RECORDING_LABEL,
    STOPPED_LABEL,
    TRIAL_LABEL,
    Client,
    EngineError,
)
from capadvise.targets.client.container import (
    PROJECT_LABEL,
    SERVICE_LABEL,
    Container,
    ContainerMount,
)


@dataclass(frozen=True, slots=True)
class InPlace:
    """The containers of an engine, but for those of recordings and trials."""

    containers: tuple[Container, ...]

    @classmethod
    def of(cls, client: Client) -> InPlace:
        """Raises EngineError."""
        ids = client.all_ids()
        try:
            there = list(client.inspect(*ids)) if ids else []
        except EngineError:  # one of them has just gone
            there = [one for one in map(client.find, ids) if one is not None]
        ours = (RECORDING_LABEL, TRIAL_LABEL)
        return cls(tuple(one for one in there if not any(label in one.labels for label in ours)))

    def of_project(self, name: str, services: Iterable[str] | None = None) -> list[Container]:
        """Those of a compose project."""
        wanted = None if services is None else set(services)
        return [
            one
            for one in self.containers
            if one.labels.get(PROJECT_LABEL) == name
            and (wanted is None or one.labels.get(SERVICE_LABEL) in wanted)
        ]

    def named(self, name: str | None) -> list[Container]:
        """The one of that name."""
        return [one for one in self.containers if one.name == name]

    def users_of(self, source: str) -> list[Container]:
        """Running containers that write to a named volume, or to a path of the host."""
        return [
            one
            for one in self.containers
            if one.running and any(m.writable and _shares(m, source) for m in one.mounts)
        ]


def _shares(mount: ContainerMount, source: str) -> bool:
    if mount.kind == "volume":
        return mount.name == source
    if mount.kind != "bind" or not os.path.isabs(source):
        return False
    mine, theirs = os.path.realpath(source), os.path.realpath(mount.source)
    return os.path.commonpath([mine, theirs]) in (mine, theirs) and "/" not in (mine, theirs)


def is_free(port: int, protocol: str = "tcp") -> bool:
    """True if a port of this machine is free to listen on."""
    with _socket(protocol) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(("", port))
        except OSError:
            return False
    return True


def free_port(protocol: str = "tcp") -> int:
    """A free port."""
    with _socket(protocol) as tried:
        tried.bind(("", 0))
        port: int = tried.getsockname()[1]
        return port


def _socket(protocol: str) -> socket.socket:
    kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
    return socket.socket(socket.AF_INET, kind)


class FreePorts:
    """Free ports in place of the user's."""

    def __init__(self, *, always: bool = False) -> None:
        """``always``: replace the user's port even if it is free."""
        self._always = always
        self.changed: dict[int, int] = {}
        """The user's ports, and their replacements."""

    def __call__(self, port: int, protocol: str) -> int:
        if port not in self.changed:
            if not self._always and is_free(port, protocol):
                return port
            self.changed[port] = free_port(protocol)
        return self.changed[port]


_OUR_PROJECT = re.compile(r"capadvise-(?:recording|trial)-(\d+-\d+)")


def sweep(client: Client) -> tuple[str, ...]:
    """Clean up after a capadvise that was killed together with its guardian: remove its containers,
    and start again what it stopped. Returns the names of those that had every capability.

    A container that has ended once and runs again was started by its user, and stays.
    """
    client.remove(_abandoned(client, TRIAL_LABEL))
    known = [client.find(container) for container in _abandoned(client, RECORDING_LABEL)]
    lost = [one for one in known if one is not None and not (one.running and one.has_ended)]
    client.remove(one.id for one in lost)
    stopped = (one.labels.get(STOPPED_LABEL, "") for one in lost)
    with suppress(EngineError):  # it may be gone since
        client.start({name for names in stopped for name in names.split(",") if name})
    _sweep_networks(client)
    return tuple(one.name for one in lost)


def _abandoned(client: Client, label: str) -> list[str]:
    """Ids of the containers whose label names a process that is gone."""
    marks = client.values_of(label)
    return [container for container, mark in marks.items() if not procfs.is_marked(mark)]


def _sweep_networks(client: Client) -> None:
    """Remove networks and volumes of our compose projects, and networks that we labelled."""
    for kind in ("network", "volume"):
        for name in client.names(kind, "capadvise-"):
            ours = _OUR_PROJECT.match(name)
            if ours and not procfs.is_marked(ours[1]):
                with suppress(EngineError):
                    client.call(kind, "rm", name)
    for network, mark in client.labelled_networks(TRIAL_LABEL).items():
        if not procfs.is_marked(mark):
            with suppress(EngineError):  # others may use it by now
                client.call("network", "rm", network)
