"""Targets of a recording: a command, a container, a unit, the pods of a workload."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from capadvise.model.caps import CapSet

_USER = r"([A-Za-z0-9_][A-Za-z0-9_.-]{0,31})(?::([A-Za-z0-9_][A-Za-z0-9_.-]{0,31}))?"
"""``uid``, ``uid:gid``, or names."""
NO_ID = (1 << 32) - 1
"""The kernel's -1, which stands for no user: ids are below it."""


def is_user(text: str) -> bool:
    """True if a target can run as this user."""
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
IDLE_KINDS = (".timer", ".path", ".target", ".slice", ".scope", ".automount", ".device")
"""Endings of units that run nothing themselves: the units that they start have their own files."""
_UNIT_NAME = re.compile(rf"[A-Za-z0-9:_.\\@-]{{1,240}}({'|'.join(map(re.escape, UNIT_KINDS))})")


def recorded_unit(argv: Sequence[str]) -> str | None:
    """The unit that a target's command restarts; None for any other command."""
    match argv:
        case ("systemctl", "restart", str(name)) if _UNIT_NAME.fullmatch(name):
            return name
    return None


def short_unit(name: str) -> str:
    """The name of a unit without its ending, as reports use it."""
    stem, _, ending = name.rpartition(".")
    return stem if f".{ending}" in UNIT_KINDS else name


def is_no_id(digits: str) -> bool:
    """True if the number is too large for a user."""
    return len(digits) > len(str(NO_ID)) or int(digits) >= NO_ID


@dataclass(frozen=True, slots=True)
class Target:
    """The target of a run."""

    kind: str
    name: str
    argv: tuple[str, ...]
    cwd: str
    user: str
    """``uid:gid``."""
    image: str | None = None
    engine: str | None = None
    container: str | None = None
    """Its id."""
    service: str | None = None
    """The service of a compose project."""
    pod: str | None = None
    privileged: bool | None = None
    """The engine made the container privileged; None if unknown."""
    granted: CapSet | None = None
    """The capabilities that its configuration or its user gives it without us; None if unknown."""
    owner: str | None = None
    """The workload that owns its pods, as ``Deployment/web``."""
    replicas: int | None = None
    """The number of pods of the workload."""

    @property
    def language(self) -> str:
        """The format that most likely configures it."""
        if self.kind == "unit":
            return "systemd"
        if self.pod:
            return "kubernetes"
        return "podman" if self.engine == "podman" and not self.service else "compose"

    @property
    def unit(self) -> str:
        """The whole name of a unit."""
        return recorded_unit(self.argv) or f"{self.name}.service"
