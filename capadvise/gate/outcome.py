"""Judge the services of all files; the outcome is the value that every output shows. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from capadvise.catalog import Catalog
from capadvise.config.declared import Declared
from capadvise.config.language import Language
from capadvise.gate.accepting import Acceptance, accepted
from capadvise.gate.finding import RULES, Finding, Level, Reached, Severity
from capadvise.gate.lint import lint
from capadvise.gate.service import Service
from capadvise.model.caps import Cap, CapSet
from capadvise.model.escape import printable

if TYPE_CHECKING:  # reports are imported only where there are some
    from capadvise.gate.baseline import ReportFolder
    from capadvise.judgement.report import Report


@dataclass(frozen=True, slots=True)
class Remark:
    """Something that could not be judged, and its place."""

    path: str
    line: int
    what: str


@dataclass(frozen=True, slots=True)
class Unusable:
    """A file that could not be judged at all: the gate ends as for wrong input."""

    path: str
    message: str
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """One file, or several that the engine makes one project of."""

    paths: tuple[str, ...]
    language: Language
    declared: tuple[Declared, ...]
    """The services as the engine takes them."""
    written: tuple[tuple[str, tuple[Declared, ...]], ...]
    """The services as each file declares them, for places."""
    pods: tuple[Reached, ...] = ()
    remarks: tuple[Remark, ...] = ()
    """The parts that are not judged."""


class Resolver(Protocol):
    """Asks the program that reads a file what it makes of it. See ``workflow.resolve``."""

    def resolved(self, source: Source, texts: Sequence[str], catalog: Catalog) -> Source:
        """Return the source as its consumer takes it, with the files that are read with it. Raises
        BadInput if the files that it includes cannot be judged."""

    def folder(self, path: str) -> str | None:
        """Render the manifests of a kustomization or a chart; None if no tool is asked. Raises
        BadInput if the tool refuses it."""

    def covers(self, template: str) -> bool:
        """True if a template belongs to a chart that is rendered as a whole."""


@dataclass(frozen=True, slots=True)
class JudgedService:
    """One service after the gate."""

    name: str
    path: str
    line: int
    granted: CapSet
    findings: tuple[Finding, ...]
    report: str | None = None
    """The report that it was compared with."""

    @property
    def exact(self) -> bool:
        """True if it is granted what its report recommends, no more and no less."""
        wrong = ("over-permissioned", "under-permissioned", "privileged")
        return self.report is not None and not any(
            finding.rule in wrong for finding in self.findings
        )


@dataclass(frozen=True, slots=True)
class Examined:
    """One source after the gate."""

    source: Source
    services: tuple[JudgedService, ...]
    remarks: tuple[Finding, ...] = ()
    """Findings about the file as a whole."""

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings of the file and of all its services."""
        return (*self.remarks, *(item for each in self.services for item in each.findings))

    def accepting(self, acceptances: Sequence[Acceptance], today: date) -> Examined:
        """Return it with the reason at each finding that is accepted."""
        services = tuple(
            replace(each, findings=accepted(each.findings, acceptances, today))
            for each in self.services
        )
        return Examined(self.source, services, accepted(self.remarks, acceptances, today))


@dataclass(frozen=True, slots=True)
class Outcome:
    """Everything after the gate."""

    files: tuple[Examined, ...]
    strict: bool = False
    """Warnings fail the gate too."""
    unusable: tuple[Unusable, ...] = ()
    """Files that could not be judged: the gate does not pass with one of them."""
    skipped: int = 0
    """The number of files in folders that are not ours."""

    @property
    def services(self) -> tuple[JudgedService, ...]:
        """The services of all files."""
        return tuple(service for file in self.files for service in file.services)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings of all files."""
        return tuple(finding for file in self.files for finding in file.findings)

    def count(self, severity: Severity) -> int:
        """The number of findings of this severity that are not accepted."""
        return sum(f.severity is severity and not f.accepted for f in self.findings)

    @property
    def accepted(self) -> tuple[Finding, ...]:
        """Findings that somebody accepts."""
        return tuple(finding for finding in self.findings if finding.accepted)

    @property
    def failing(self) -> tuple[Finding, ...]:
        """The findings that fail the gate."""
        severities = (Severity.ERROR, Severity.WARNING) if self.strict else (Severity.ERROR,)
        return tuple(f for f in self.findings if f.severity in severities and not f.accepted)

    @property
    def passed(self) -> bool:
        """True if the gate passes."""
        return not self.failing and not self.unusable


@dataclass(frozen=True, slots=True)
class Demands:
    """The user's demands on the files."""

    allow_unknown: bool = False
    """A service without a report is only noted."""
    require: Level | None = None
    """The Pod Security level that each service has to reach."""
    platform: str = ""
    """The platform on which each service has to run."""
    as_of: str = ""
    """The version whose rules count; empty for today's."""


def examine(
    source: Source, catalog: Catalog, baseline: ReportFolder | None, policy: Demands | None = None
) -> Examined:
    """Judge each service of a source, and the file as a whole."""
    policy = policy or Demands()
    places: dict[str, list[tuple[str, Declared]]] = {}
    for path, items in source.written:
        for item in items:
            places.setdefault(item.service, []).append((path, item))
    rest = (source, catalog, baseline, policy)
    services = tuple(
        # A service of a file that is included is written in none of these.
        _judge(item, places.get(item.service) or [(source.paths[0], _without_lines(item))], *rest)
        for item in source.declared
    )
    remarks = [_remark(item) for item in source.remarks]
    remarks += [
        _below(pod, source.paths[0], policy.require)
        for pod in source.pods
        if policy.require is not None and not pod.reaches(policy.require)
    ]
    return Examined(source, services, tuple(remarks))


def _judge(
    declared: Declared,
    written: Sequence[tuple[str, Declared]],
    source: Source,
    catalog: Catalog,
    baseline: ReportFolder | None,
    policy: Demands,
) -> JudgedService:
    consumer = source.language.judged_by
    path = baseline.of(declared) if baseline else None
    report = baseline.report(path) if baseline and path else None
    needed = report.proposal.recommended if report else frozenset[Cap]()
    service = Service.of(declared, tuple(written), consumer, catalog, needed)
    findings = [*lint(service), *_required(service, source, policy)]
    if report is not None:
        findings = _compared(service, report, str(path), findings, source)
    else:
        findings = _with_known(findings, service, source)
        if baseline is not None:
            findings.append(_no_report(service, allowed=policy.allow_unknown))
    findings = [item.as_of(policy.as_of) if policy.as_of else item for item in findings]
    findings.sort(key=lambda item: (item.severity.rank, item.path, item.line))
    at = str(path) if path else None
    return JudgedService(
        declared.service, *service.place(), service.granted, tuple(findings), report=at
    )


def _unit(source: Source) -> str:
    """The name of its unit; empty for a container."""
    return Path(source.paths[0]).name if source.language.judged_by.on_host else ""


def _with_known(findings: list[Finding], service: Service, source: Source) -> list[Finding]:
    """Compare with what was proven of its program before."""
    if service.consumer.keeps_defaults:
        return findings
    unit = _unit(source)
    if unit or service.declared.image:
        from capadvise.gate.known_needs import with_known_needs  # with reports: no need

        return with_known_needs(findings, service, unit, service.catalog.known)
    return findings


_PASTED = ("privileged", "add-all", "no-drop-all")
"""Rules whose remedy is the set that the report recommends."""


def _without_lines(declared: Declared) -> Declared:
    return replace(declared, line=1, lines=(), unresolved=(), exposed=(), unjudged=(), variables=())


def _compared(
    service: Service, report: Report, path: str, findings: list[Finding], source: Source
) -> list[Finding]:
    """Add the findings by the service's report, and its set where a remedy needs one."""
    from capadvise.gate.against import against, own_users
    from capadvise.judgement.conclusion import SHOWS_ENOUGH, conclude_report, of_another
    from capadvise.judgement.identity import differs

    snippet = source.language.pasted(report.proposal.recommended)
    findings = [
        replace(finding, snippet=snippet) if finding.rule in _PASTED else finding
        for finding in findings
    ]
    conclusion = conclude_report(report, service.catalog)
    declared, index = service.declared, service.catalog.known_index
    other = differs(
        *(report, index), command=declared.command, image=declared.image, unit=_unit(source)
    )
    enough = conclusion.standing in SHOWS_ENOUGH  # a wrong report must not open the gate
    conclusion = of_another(conclusion, other) if other else conclusion
    opening, proposal = conclusion.opening, report.proposal
    if opening is not None and opening.is_in(declared.filters):
        proposal = replace(proposal, recommended=opening.caps, minimal=opening.caps)
    compared = list(against(service, proposal, path, conclusion.standing_words, enough=enough))
    compared += own_users(service, report, path)
    if any(finding.rule == "over-permissioned" for finding in compared):
        # The comparison says the same in more detail.
        findings = [finding for finding in findings if finding.rule != "no-drop-all"]
    return [*findings, *compared]


def _required(service: Service, source: Source, policy: Demands) -> Iterator[Finding]:
    """A finding if a service that is in no pod does not reach the level."""
    if policy.platform:
        from capadvise.gate.platforms import refusal

        yield from refusal(service, source.pods, policy.platform)
    if policy.require is None or source.language.pods:
        return
    from capadvise.gate.pod_security import service_level  # where a level is asked for

    level_reached = service_level(service.declared, service.consumer, service.catalog)
    if not level_reached.reaches(policy.require):
        path, _ = service.place()
        yield _below(level_reached, path, policy.require, service=service.declared.service)


def _below(pod: Reached, path: str, level: Level, *, service: str = "") -> Finding:
    forbidden = [item for item in pod.violations if item.level.rank <= level.rank]
    return Finding(
        "pod-security",
        RULES["pod-security"].severity,
        service or pod.pod,
        path,
        next((item.line for item in forbidden), pod.line),
        f"its Pod Security level is {pod.level}, not {level}",
        f"To change: {printable('; '.join(item.what for item in forbidden))}.",
        f"Change these, or require {pod.level}.",
    )


def _remark(item: Remark) -> Finding:
    return Finding(
        "not-judged",
        RULES["not-judged"].severity,
        "",
        item.path,
        item.line,
        f"not judged: {printable(item.what)}",
        "Whatever was not judged may grant more than is shown here.",
        "Pass it to check as well, let --resolve judge it, or accept it with a reason.",
    )


def _no_report(service: Service, *, allowed: bool) -> Finding:
    return service.says("no-report", "", severity=Severity.NOTE if allowed else None)
