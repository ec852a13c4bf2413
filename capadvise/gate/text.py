"""The outcome for people: the worst first, by file, at 80 columns, without colour."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from capadvise.gate.finding import Finding, Level, Reached, Severity
from capadvise.gate.outcome import Examined, JudgedService, Outcome
from capadvise.model.escape import printable

WIDTH = 80


def outcome_text(outcome: Outcome) -> Iterator[str]:
    """All lines."""
    for file in sorted(outcome.files, key=_worst):
        yield from _file_text(file)
    yield _summary(outcome)


def _worst(file: Examined) -> int:
    return min((f.severity.rank for f in file.findings if not f.accepted), default=9)


def _file_text(file: Examined) -> Iterator[str]:
    names = [printable(path) for path in file.source.paths]
    yield " + ".join(names)
    live = [finding for finding in file.findings if not finding.accepted]
    for group in _groups(live):
        yield from _group_text(group, several=len(names) > 1)
    for finding in file.findings:
        if finding.accepted:
            said = f"{_place(finding, several=len(names) > 1)}{_of(finding)}{finding.what}"
            reason = printable(finding.accepted)
            yield from _wrapped(f"accepted, {said} [{finding.rule}]: {reason}", "  ")
    for title, services in (
        ("matches its report", [item for item in file.services if item.exact]),
        ("no findings", [item for item in file.services if not item.findings and not item.exact]),
    ):
        if services:
            yield from _wrapped(f"{title}: {_names(services)}", "  ")
    for pod in file.source.pods:
        yield from _pod_text(pod)
    yield ""


def _groups(findings: Sequence[Finding]) -> list[list[Finding]]:
    """Findings that say the same of several services are one; the worst come first."""
    groups: dict[tuple[object, ...], list[Finding]] = {}
    for item in sorted(findings, key=lambda f: (f.severity.rank, f.path, f.line)):
        same = (item.severity, item.rule, item.path, item.what, item.why, item.remedy, item.snippet)
        groups.setdefault(same, []).append(item)
    return list(groups.values())


def _group_text(group: Sequence[Finding], *, several: bool) -> Iterator[str]:
    finding = group[0]
    where = _place(finding, several=several)
    if len(group) > 1:
        lines = list(dict.fromkeys(item.line for item in group))
        where = where.replace(f"line {finding.line}", _lines(lines), 1)
    services = ", ".join(dict.fromkeys(printable(item.service) for item in group if item.service))
    of = f"{services}: " if services else ""
    head = f"{finding.severity}, {where}{of}{finding.what} [{finding.rule}]"
    yield from _wrapped(head, "  ")
    if finding.severity is Severity.NOTE:
        return
    yield from _wrapped(finding.why, "    ", hang="")
    yield from _wrapped(f"→ {finding.remedy}", "    ")
    for line in finding.snippet.splitlines():
        yield f"        {line}"


def _lines(lines: Sequence[int]) -> str:
    return f"line{'s' * (len(lines) > 1)} {', '.join(map(str, lines))}"


def _place(finding: Finding, *, several: bool) -> str:
    return (
        f"{printable(finding.path)}, line {finding.line}: "
        if several
        else (f"line {finding.line}: ")
    )


def _of(finding: Finding) -> str:
    return f"{printable(finding.service)}: " if finding.service else ""


def _names(services: Sequence[JudgedService]) -> str:
    return ", ".join(printable(service.name) for service in services)


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
    """One sentence for whoever reads the end of a log."""
    counts = [
        _count(count, str(severity)) for severity in Severity if (count := outcome.count(severity))
    ]
    if outcome.accepted:
        counts.append(f"{len(outcome.accepted)} accepted")
    services = _count(len(outcome.services), "service")
    files = _count(len(outcome.files), "file")
    counted = ", ".join(counts) or "nothing found"
    parts = [f"{counted} in {services} of {files}"] if outcome.files or not outcome.unusable else []
    if outcome.skipped:
        parts.append(f"{_count(outcome.skipped, 'file')} of other kinds skipped")
    if outcome.unusable:
        parts.append(f"{_count(len(outcome.unusable), 'file')} could not be judged")
    return f"{'passed' if outcome.passed else 'failed'}: {', '.join(parts)}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"
