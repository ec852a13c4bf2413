"""What the gate can find, as values. The names in ``RULES`` are public."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How bad a finding is. An error fails the gate; a warning does so with ``--strict``."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of finding."""

    severity: Severity
    """What its findings usually have."""
    summary: str
    """One sentence, for a list of rules."""


_E, _W = Severity.ERROR, Severity.WARNING
RULES: dict[str, Rule] = {
    "privileged": Rule(_E, "A privileged container is root on the host."),
    "add-all": Rule(_E, "Every capability is added."),
    "root-equivalent": Rule(_E, "A capability is added that is root-equivalent on the host."),
    "ignored-name": Rule(_E, "A name has no effect, or is refused, where the file is used."),
    "add-and-drop": Rule(_E, "The same capability is added and dropped."),
    "rejected": Rule(_E, "Kubernetes refuses the combination."),
    "over-permissioned": Rule(_E, "The service holds what its report shows no need for."),
    "under-permissioned": Rule(_E, "The service lacks what its report shows a need for."),
    "spelling": Rule(_W, "Pod Security Admission does not match a name that is spelled so."),
    "no-drop-all": Rule(_W, "The runtime's default set is kept instead of dropping ALL."),
    "useless-add": Rule(_W, "A capability is added for a user who does not get it."),
    "escalation": Rule(_W, "Programs may gain capabilities that they were not started with."),
    "duplicate": Rule(_W, "The same capability is listed twice."),
    "unresolved": Rule(_E, "A value could not be judged: docker compose did not resolve it."),
    "no-report": Rule(_W, "No report says what the service needs."),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be, in one place."""

    rule: str
    severity: Severity
    service: str
    path: str
    line: int
    what: str
    """As found, without a full stop."""
    why: str
    """What follows from it: sentences."""
    remedy: str
    """What to do: sentences."""


class Level(StrEnum):
    """From open to closed."""

    PRIVILEGED = "privileged"
    BASELINE = "baseline"
    RESTRICTED = "restricted"


@dataclass(frozen=True, slots=True)
class Violation:
    """What keeps a pod from a level."""

    level: Level
    """The level that forbids it."""
    control: str
    what: str
    line: int


@dataclass(frozen=True, slots=True)
class Reached:
    """The level of one pod."""

    pod: str
    """``Deployment/web``."""
    line: int
    level: Level
    violations: tuple[Violation, ...]
    """What keeps it from the levels above."""
