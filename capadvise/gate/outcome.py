"""What the gate says of all files: the value that every output shows. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from capadvise.caps import CapSet
from capadvise.catalog import Catalog
from capadvise.formats.declared import Declared
from capadvise.gate.consumers import CONSUMERS
from capadvise.gate.finding import Finding, Reached, Severity
from capadvise.gate.lint import lint
from capadvise.gate.service import Service

if TYPE_CHECKING:  # reports are imported only where there are some
    from capadvise.gate.baseline import Baseline


@dataclass(frozen=True, slots=True)
class Source:
    """One file, or several that the engine makes one project of."""

    paths: tuple[str, ...]
    format: str
    declared: tuple[Declared, ...]
    """As the engine takes it."""
    written: tuple[tuple[str, tuple[Declared, ...]], ...]
    """As each file says it, for places."""
    pods: tuple[Reached, ...] = ()


@dataclass(frozen=True, slots=True)
class Judged:
    """One service after the gate."""

    name: str
    path: str
    line: int
    granted: CapSet
    findings: tuple[Finding, ...]
    report: str | None = None
    """The report that it was held against."""

    @property
    def exact(self) -> bool:
        """It is granted what its report recommends, no more and no less."""
        wrong = ("over-permissioned", "under-permissioned", "privileged")
        return self.report is not None and not any(
            finding.rule in wrong for finding in self.findings
        )


@dataclass(frozen=True, slots=True)
class Examined:
    """One source after the gate."""

    source: Source
    services: tuple[Judged, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Everything after the gate."""

    files: tuple[Examined, ...]
    strict: bool = False
    """Warnings fail the gate too."""

    @property
    def services(self) -> tuple[Judged, ...]:
        """Of all files."""
        return tuple(service for file in self.files for service in file.services)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Of all services."""
        return tuple(finding for service in self.services for finding in service.findings)

    def count(self, severity: Severity) -> int:
        """How many findings are so bad."""
        return sum(finding.severity is severity for finding in self.findings)

    @property
    def passed(self) -> bool:
        """Whether the gate lets it through."""
        failing = tuple(Severity) if self.strict else (Severity.ERROR,)
        return not any(map(self.count, failing))


def examine(source: Source, catalog: Catalog, baseline: Baseline | None) -> Examined:
    """Judge each service of a source."""
    return Examined(
        source, tuple(_judge(item, source, catalog, baseline) for item in source.declared)
    )


def _judge(
    declared: Declared, source: Source, catalog: Catalog, baseline: Baseline | None
) -> Judged:
    written = tuple(
        (path, item)
        for path, items in source.written
        for item in items
        if item.service == declared.service
    )
    if not written:  # of a file that is included
        written = ((source.paths[0], replace(declared, line=1, lines=(), unresolved=())),)
    consumer = CONSUMERS[source.format]
    path = None if baseline is None else baseline.find(declared.service)
    if baseline is None or path is None:
        service = Service.of(declared, written, consumer, catalog)
        missing = () if baseline is None else (_no_report(service),)
        return _judged(service, (*lint(service), *missing), None)
    from capadvise.gate.against import against

    report = baseline.report(path)
    service = Service.of(declared, written, consumer, catalog, report.proposal.recommended)
    compared = tuple(against(service, report.proposal, str(path), partial=report.partial))
    found = lint(service)
    if any(finding.rule == "over-permissioned" for finding in compared):
        # It says the same, and better.
        found = tuple(finding for finding in found if finding.rule != "no-drop-all")
    return _judged(service, (*found, *compared), str(path))


def _judged(service: Service, findings: tuple[Finding, ...], report: str | None) -> Judged:
    path, line = service.place()
    findings = tuple(sorted(findings, key=lambda item: (item.path, item.line)))
    return Judged(service.declared.service, path, line, service.granted, findings, report)


def _no_report(service: Service) -> Finding:
    return service.finding(
        "no-report",
        "",
        "no report says what it needs",
        "Nobody can tell whether it holds too much or too little.",
        "Record it with `capadvise run` and keep the report with the others.",
    )
