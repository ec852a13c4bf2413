"""The gate's rules (``gate-rules`` of ``catalog/texts.yaml``) and findings, as values."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from capadvise.catalog import default


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


def _rule(said: str) -> Rule:
    severity, _, summary = said.partition(": ")
    return Rule(Severity(severity), summary)


RULES = {name: _rule(said) for name, said in default().texts["gate-rules"].items()}
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
    since: str = ""
    """The version of capadvise that finds it first; empty: all do."""
    hint: str = ""
    """Sentences of the remedy about this service alone."""
    at: str = ""
    """The capability, path or key that it is about, or the first of several."""

    def as_of(self, version: str) -> Finding:
        """The finding for somebody who asks for the rules of a version: a note if they had none
        of it."""
        what = f"{self.what}, which {version} did not find"
        return replace(self, severity=Severity.NOTE, what=what) if self.since > version else self

    @property
    def advice(self) -> str:
        """The whole remedy."""
        return f"{self.remedy} {self.hint}".strip()

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
