"""The outcome for people: by file and service, at 80 columns, without colour."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from capadvise.gate.finding import Finding, Level, Reached, Severity
from capadvise.gate.outcome import Examined, Judged, Outcome
from capadvise.report.escape import printable

WIDTH = 80


def outcome_text(outcome: Outcome) -> Iterator[str]:
    """All lines."""
    for file in outcome.files:
        yield from _file_text(file)
    yield from _wrapped(_summary(outcome))


def _file_text(file: Examined) -> Iterator[str]:
    names = [printable(path) for path in file.source.paths]
    yield " + ".join(names)
    for service in file.services:
        if service.findings:
            yield f"  {printable(service.name)}"
            for finding in service.findings:
                yield from _finding_text(finding, several=len(names) > 1)
    for title, services in (
        ("granted what its report says", [item for item in file.services if item.exact]),
        ("no findings", [item for item in file.services if not item.findings and not item.exact]),
    ):
        if services:
            yield from _wrapped(f"{title}: {_names(services)}", "  ")
    for pod in file.source.pods:
        yield from _pod_text(pod)
    yield ""


def _names(services: Sequence[Judged]) -> str:
    return ", ".join(printable(service.name) for service in services)


def _finding_text(finding: Finding, *, several: bool) -> Iterator[str]:
    where = f"{printable(finding.path)}, line" if several else "line"
    head = f"{finding.severity}, {where} {finding.line}: {finding.what} [{finding.rule}]"
    yield from _wrapped(head, "    ")
    yield from _wrapped(finding.why, "      ", hang="")
    yield from _wrapped(f"→ {finding.remedy}", "      ")


def _pod_text(pod: Reached) -> Iterator[str]:
    """The level, and what keeps it from the next one."""
    yield from _wrapped(f"Pod Security of {printable(pod.pod)}: {pod.level}", "  ")
    if pod.level is Level.RESTRICTED:
        return
    above = Level.BASELINE if pod.level is Level.PRIVILEGED else Level.RESTRICTED
    for violation in pod.violations:
        if violation.level is above:
            text = f"{above} forbids, line {violation.line}: {printable(violation.what)}"
            yield from _wrapped(text, "    ")


def _wrapped(text: str, indent: str = "", *, hang: str = "  ") -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=f"{indent}{hang}",
        break_on_hyphens=False,
        break_long_words=False,
    )


def _summary(outcome: Outcome) -> str:
    counts = [
        f"{count} {severity}{'s' * (count != 1)}"
        for severity in Severity
        if (count := outcome.count(severity))
    ]
    services = len(outcome.services)
    of = f"{services} service{'s' * (services != 1)}"
    result = "passed" if outcome.passed else "failed"
    return f"{of}, {' and '.join(counts) or 'nothing found'}: {result}."
