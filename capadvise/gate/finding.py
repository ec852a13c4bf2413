"""The gate's rules and findings, as values. The names in ``RULES`` are public."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class _Ranked(StrEnum):
    @property
    def rank(self) -> int:
        """The place in the order of the members, from 0."""
        return list(type(self)).index(self)


class Severity(_Ranked):
    """How bad a finding is. An error fails the gate; a warning does so with ``--strict``; a note
    never does."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of finding."""

    severity: Severity
    """The usual severity of its findings."""
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
    "privileged-command": Rule(_E, "A further command of the service runs with all capabilities."),
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
    "known-needs": Rule(
        _N, "The service's set differs from the set that was proven for its program."
    ),
    "label-needs": Rule(
        _N, "The service holds more than a label of its image says, or a label cannot be read."
    ),
    "user-namespace": Rule(
        _N, "The service would also run in a user namespace of its own, where the risk is lower."
    ),
    "no-drop-all": Rule(_W, "The runtime's default set is kept instead of dropping ALL."),
    "useless-add": Rule(_W, "A capability is added, but the user does not get it."),
    "escalation": Rule(_W, "Programs may gain capabilities after their start."),
    "duplicate": Rule(_W, "The same capability is listed twice."),
    "unresolved": Rule(_E, "A value could not be judged: docker compose did not resolve it."),
    "variable": Rule(_W, "The verdict depends on a variable."),
    "no-report": Rule(_E, "No report says what the service needs."),
    "pod-security": Rule(_E, "A pod or a service does not reach the level that is required."),
    "unused-exception": Rule(_W, "An exception has expired, accepts nothing, or names no thing."),
}


_SEVERAL = ("over-permissioned", "useless-add", "beyond-default", "variable", "user-namespace")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, in one place."""

    rule: str
    severity: Severity
    service: str
    path: str
    line: int
    what: str
    """The fact, without a full stop."""
    why: str
    """The consequence: sentences."""
    remedy: str
    """The action to take: sentences."""
    snippet: str = ""
    """Lines to paste; empty if no report says what is needed."""
    accepted: str = ""
    """The reason why it is accepted; empty if it is not."""
    at: str = ""
    """The capability, path or key that it is about, or the first of several."""

    @property
    def thing(self) -> str:
        """The one thing that an exception accepts: a finding that is milder than usual is another,
        and so are several capabilities when one is added to them."""
        milder = "" if self.severity is RULES[self.rule].severity else f" ({self.severity})"
        return (self.what if self.rule in _SEVERAL else self.at or self.what) + milder


class Level(_Ranked):
    """A level of the Pod Security Standards; the most open one has rank 0."""

    PRIVILEGED = "privileged"
    BASELINE = "baseline"
    RESTRICTED = "restricted"


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that keeps a pod from a level."""

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
    """Everything that keeps it from the levels above."""

    @classmethod
    def by(cls, pod: str, line: int, violations: tuple[Violation, ...]) -> Reached:
        """The highest level that no violation forbids."""
        level = Level.RESTRICTED
        if violations:
            forbidden = min(violation.level.rank for violation in violations)
            level = list(Level)[forbidden - 1]
        return cls(pod, line, level, violations)

    def reaches(self, level: Level) -> bool:
        """True if it is at this level or above."""
        return self.level.rank >= level.rank
