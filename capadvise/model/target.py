"""What was recorded: a command, a container, a unit, the pods of a workload."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_USER = r"([A-Za-z0-9_][A-Za-z0-9_.-]{0,31})(?::([A-Za-z0-9_][A-Za-z0-9_.-]{0,31}))?"
"""``uid``, ``uid:gid``, or names."""
NO_ID = (1 << 32) - 1
"""The kernel's -1, which stands for no user: ids are below it."""


def is_user(text: str) -> bool:
    """Whether it can be what a target runs as."""
    return re.fullmatch(_USER, text) is not None


ENGINE_PROGRAMS = {"docker": "docker", "podman": "podman", "podman-remote": "podman"}
"""Program → its engine."""
CLIENTS = frozenset(
    (
        *(*ENGINE_PROGRAMS, "docker-compose", "podman-compose", "nerdctl"),
        *("ctr", "crictl", "incus", "lxc", "kubectl", "helm"),
    )
)
"""Programs that start containers by an engine."""
UNIT_KINDS = {".service": "Service", ".socket": "Socket", ".mount": "Mount", ".swap": "Swap"}
"""Ending of a unit that has processes → the section in which systemd looks for capabilities."""
_UNIT_NAME = re.compile(rf"[A-Za-z0-9:_.\\@-]{{1,240}}({'|'.join(map(re.escape, UNIT_KINDS))})")


def recorded_unit(argv: Sequence[str]) -> str | None:
    """The unit that a target's command restarts; None for any other command."""
    match argv:
        case ("systemctl", "restart", str(name)) if _UNIT_NAME.fullmatch(name):
            return name
    return None


def short_unit(name: str) -> str:
    """The name of a unit without its ending: what a report of it is called."""
    stem, _, ending = name.rpartition(".")
    return stem if f".{ending}" in UNIT_KINDS else name


def is_no_id(digits: str) -> bool:
    """Whether they are too large a number for a user."""
    return len(digits) > len(str(NO_ID)) or int(digits) >= NO_ID


@dataclass(frozen=True, slots=True)
class Target:
    """What was run."""

    kind: str
    name: str
    argv: tuple[str, ...]
    cwd: str
    user: str
    """``uid:gid``."""
    image: str | None = None
    engine: str | None = None
    container: str | None = None
    """The id."""
    service: str | None = None
    """Of a compose project."""
    pod: str | None = None
    privileged: bool | None = None
    """Whether the engine was told so when it made the container; None where nobody can say."""
    owner: str | None = None
    """The workload whose pods have it, as ``Deployment/web``."""
    replicas: int | None = None
    """How many pods the workload had."""

    @property
    def language(self) -> str:
        """The format that it most likely is configured in."""
        if self.kind == "unit":
            return "systemd"
        if self.pod:
            return "kubernetes"
        return "podman" if self.engine == "podman" and not self.service else "compose"

    @property
    def unit(self) -> str:
        """The whole name of a unit."""
        return recorded_unit(self.argv) or f"{self.name}.service"
