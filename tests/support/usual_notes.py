"""Notes that the gate has on every service of a language: tables of findings leave them out, so
that a new one is tried in a row of its own and changes no other."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from capadvise.catalog import default
from capadvise.config import LANGUAGES
from capadvise.config.declared import Declared
from capadvise.gate.finding import Finding, Severity
from capadvise.gate.lint import lint
from capadvise.gate.service import Service


@cache
def usual(language: str) -> frozenset[str]:
    """The rules of notes on a service with which nothing is wrong."""
    sound = Declared("web", 1, ("ALL",))
    consumer = LANGUAGES[language].judged_by
    service = Service.of(sound, (("f", sound),), consumer, default())
    return frozenset(each.rule for each in lint(service) if each.severity is Severity.NOTE)


def besides_usual(findings: Iterable[Finding], language: str) -> tuple[Finding, ...]:
    """All others. What is usual and no note stays: nothing may be wrong with a sound service."""
    return tuple(each for each in findings if each.rule not in usual(language))
