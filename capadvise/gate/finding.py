"""What the gate can find, as values. The names in ``RULES`` are public."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How bad a finding is. An error fails the gate; a warning does so with ``--strict``; a note
    never does."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"

    @property
    def rank(self) -> int:
        """0 for the worst."""
        return list(Severity).index(self)


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of finding."""

    severity: Severity
    """What its findings usually have."""
    summary: str
    """One sentence, for a list of rules."""


_E, _W, _N = Severity
RULES: dict[str, Rule] = {
    "privileged": Rule(_E, "A privileged container is root on the host."),
    "add-all": Rule(_E, "Every capability is added."),
    "root-equivalent": Rule(_E, "A capability is added that is root-equivalent in this place."),
    "control-socket": Rule(_E, "A socket that controls the host is mounted."),
    "host-folder": Rule(_E, "A folder with programs, settings or secrets of the host is mounted."),
    "host-device": Rule(_E, "A disk or the memory of the host is passed in."),
    "privileged-command": Rule(_E, "A command beside the service runs with all capabilities."),
    "ignored-name": Rule(_E, "A capability name is unknown to the runtime: ignored or refused."),
    "add-and-drop": Rule(_E, "The same capability is added and dropped."),
    "rejected": Rule(_E, "The program that reads the file refuses this."),
    "over-permissioned": Rule(
        _E, "The service holds a capability that its report shows no need for."
    ),
    "under-permissioned": Rule(
        _E, "The service lacks a capability that its report shows a need for."
    ),
    "spelling": Rule(_W, "Pod Security Admission does not match this spelling of the name."),
    "high-risk": Rule(_W, "A capability of high risk is added."),
    "host-namespace": Rule(_W, "A namespace of the host is shared."),
    "unconfined": Rule(_W, "seccomp, AppArmor, SELinux or the masks of /proc are switched off."),
    "host-command": Rule(_W, "A command of the file runs on the host, outside of the container."),
    "withheld": Rule(_W, "Another setting of the unit takes away a capability that it adds."),
    "not-judged": Rule(_W, "Something that may grant more could not be judged."),
    "beyond-default": Rule(_N, "A capability is added that engines do not grant by default."),
    "known-needs": Rule(_N, "A set was proven for its program, and the service has another one."),
    "label-needs": Rule(
        _N, "The service holds more than a label of its image says, or a label cannot be read."
    ),
    "user-namespace": Rule(
        _N, "What it needs works in a user namespace of its own, too, where the risk is lower."
    ),
    "no-drop-all": Rule(_W, "The runtime's default set is kept instead of dropping ALL."),
    "useless-add": Rule(_W, "A capability is added, but the user does not get it."),
    "escalation": Rule(_W, "Programs may gain capabilities that they were not started with."),
    "duplicate": Rule(_W, "The same capability is listed twice."),
    "unresolved": Rule(_E, "A value could not be judged: docker compose did not resolve it."),
    "variable": Rule(_W, "The verdict depends on a variable."),
    "no-report": Rule(_E, "No report says what the service needs."),
    "pod-security": Rule(_E, "A pod or a service does not reach the level that is required."),
    "unused-exception": Rule(_W, "An exception has expired, or accepts nothing."),
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
    snippet: str = ""
    """Lines to paste; empty where nobody knows what is needed."""
    accepted: str = ""
    """Why it is accepted; empty where it is not."""


class Level(StrEnum):
    """From open to closed."""

    PRIVILEGED = "privileged"
    BASELINE = "baseline"
    RESTRICTED = "restricted"

    @property
    def rank(self) -> int:
        """0 for the most open."""
        return list(Level).index(self)


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

    def reaches(self, level: Level) -> bool:
        """Whether it is at this level or above."""
        return self.level.rank >= level.rank
