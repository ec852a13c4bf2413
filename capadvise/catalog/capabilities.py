"""Facts about each capability: one YAML file each in ``catalog/capabilities``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from capadvise.catalog.circumstances import Where
from capadvise.model.caps import Cap


class Risk(IntEnum):
    """How far a capability takes an attacker; ``ROOT`` is root-equivalent on the host."""

    LOW = 1
    MEDIUM = 2
    HIGH = 3
    ROOT = 4

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Condition:
    """The risk differs if ``when`` holds."""

    when: str
    risk: Risk
    reason: str
    where: Where
    """``when`` in a form that a program can judge."""


@dataclass(frozen=True, slots=True)
class Attack:
    """An attack that the capability permits after the program was taken over."""

    what: str
    reference: str
    where: Where = ()
    """The circumstances that it needs."""


@dataclass(frozen=True, slots=True)
class Use:
    """One distinct use of a capability that has many (CAP_SYS_ADMIN)."""

    name: str
    what: str
    functions: tuple[str, ...]
    """The kernel functions that check it; globs. ``sys_NAME`` is the call itself, for evidence that
    has no call site."""
    narrower: tuple[Cap, ...]
    """Capabilities that grant this use alone."""
    remediation: str
    gains: str
    initial_only: bool
    """The kernel requires the capability in the initial user namespace: in its own, the program
    gets nothing from it."""
    edits: Edits = ()
    covers: tuple[str, ...] = ()
    """Uses that the same remediation also ends, if they are seen beside this one: a program that
    makes a user namespace may mount in it."""


@dataclass(frozen=True, slots=True)
class Example:
    """A command that needs the capability, and one that does the same without it."""

    needs: str
    without: str


@dataclass(frozen=True, slots=True)
class Entry:
    """The content of one file. ``catalog/README.md`` explains the fields."""

    cap: Cap
    number: int
    since: str
    summary: str
    allows: tuple[str, ...]
    syscalls: tuple[str, ...]
    errno: tuple[str, ...]
    silent: tuple[str, ...]
    alternatives: tuple[tuple[tuple[Cap, ...], str], ...]
    user_namespace: str
    risk: Risk
    risk_reason: str
    attack: tuple[Attack, ...]
    remediation: tuple[Remediation, ...]
    example: Example
    references: tuple[str, ...]
    risk_conditions: tuple[Condition, ...] = ()
    uses: tuple[Use, ...] = ()


class EditPlace(IntEnum):
    """The place of an edit; the easier one has the lower number."""

    COMPOSE = 0
    """Below the service in a compose file."""
    DOCKER = 1
    """Options of ``docker run``."""
    KUBERNETES = 2
    """Below ``spec:`` of the pod."""
    PODMAN = 3
    """Options of ``podman run``."""
    SYSTEMD = 4
    """In the unit of the service."""
    DOCKERFILE = 5
    PROGRAM = 6
    """The command line or configuration of the program."""
    SYSCTL = 7
    """A setting of the host, ``name=value``."""
    HOST = 8
    """A command on the host."""

    @property
    def key(self) -> str:
        """Its name in the catalog's files."""
        return self.name.lower()


LABELS: Mapping[EditPlace, str] = {
    EditPlace.COMPOSE: "compose",
    EditPlace.DOCKER: "docker run",
    EditPlace.KUBERNETES: "Kubernetes",
    EditPlace.PODMAN: "podman run",
    EditPlace.SYSTEMD: "systemd",
    EditPlace.DOCKERFILE: "Dockerfile",
    EditPlace.PROGRAM: "program",
    EditPlace.SYSCTL: "host sysctl",
    EditPlace.HOST: "host shell",
}
WHERE_TO = (
    "Where to write it: compose, below the service; Kubernetes, below the pod's spec (Helm: the "
    "template); systemd, in the [Service] section; program, where it is called or configured; host "
    "sysctl, with sysctl -w and in /etc/sysctl.d. Names, numbers and paths are examples."
)
"""Their names for the reader of edits."""

Edits = tuple[tuple[EditPlace, str], ...]
"""(place, text to write), the easiest first; the text can have several lines."""


@dataclass(frozen=True, slots=True)
class Remediation:
    """A way to do without: the need, and the advice."""

    need: str
    do: str
    sites: tuple[str, ...] | None = None
    """The site rules (globs over their ids) of the uses that this answers: None is every use, and
    an empty list is advice for something that was not seen."""
    edits: Edits = ()
