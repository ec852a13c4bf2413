"""Clients of container engines and of systemd that a command executes: a script, make, sudo."""

from __future__ import annotations

import os

from capadvise.linux.kernel import procfs
from capadvise.target import CLIENTS

_WATCHED = CLIENTS | {"systemctl"}


class EngineClients:
    """Each is looked at while it lives: it waits for its engine."""

    def __init__(self) -> None:
        self.seen: dict[tuple[int, tuple[str, ...]], None] = {}
        """uid and arguments."""

    def sighted(self, pid: int, path: str) -> None:
        """A program was executed just now."""
        if os.path.basename(path) in _WATCHED and (words := procfs.arguments(pid)):
            ids = procfs.ids(pid)
            self.seen[ids[0][0] if ids else 0, words] = None
