"""What a service is granted, beside what its report shows that it needs. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from capadvise.gate.finding import Finding, Severity
from capadvise.gate.service import Service
from capadvise.judgement.decide import Proposal, Verdict
from capadvise.model.caps import Cap, CapSet
from capadvise.model.escape import printable
from capadvise.report.words import without

_BIND = Cap.parse("NET_BIND_SERVICE")
_SAID = {
    Verdict.NOT_CHECKED: "not checked",
    Verdict.INCIDENTAL: "incidental",
    Verdict.DENIED: "denied, no effect",
    Verdict.OPTIONAL: "optional",
}


def against(
    service: Service, proposal: Proposal, report: str, *, partial: bool = False
) -> Iterator[Finding]:
    """Over- and under-permissioned, by the report that is called ``report``.

    What was shown to be required must be granted. What is recommended beyond that should be: its
    lack is a warning. Where another capability would do as well, either counts. ``partial``: the
    report has not seen a start, and can tell neither what is not needed nor that it suffices.
    """
    report = printable(report)
    if service.declared.privileged:
        return  # a finding of its own; what to add instead is the business of emit
    wanted = proposal.recommended
    missing = [cap for cap in sorted(wanted) if not _has(cap, proposal, service.granted)]
    beyond = service.granted - wanted - (proposal.minimal or frozenset())
    beyond -= _stand_ins(proposal, service.granted)
    open_ = frozenset(cap for cap in beyond if _is_open(cap, proposal))
    if partial:
        rule = "over-permissioned" if beyond else "under-permissioned"
        holds = f"it holds {_names(beyond)}: {report} cannot tell whether it needs them"
        yield service.finding(
            rule,
            _first(beyond, service),
            holds if beyond else f"its next start may need more than {report} shows",
            "The target ran before it was recorded: its start was not seen.",
            "Record a start, or prove the report.",
            severity=Severity.WARNING,
        )
        beyond = open_ = frozenset()
    if over := beyond - open_:
        yield service.finding(
            "over-permissioned",
            _first(over, service),
            f"it holds {_names(over)}, for which {report} shows no need",
            _why_not(over, service, proposal),
            f"Drop ALL and add {_names(wanted | open_)}." if wanted | open_ else "Drop ALL.",
        )
    if open_:
        yield service.finding(
            "over-permissioned",
            _first(open_, service),
            f"it holds {_names(open_)}: {report} cannot tell whether it needs them",
            " ".join(f"{cap.short}: {_doubt(cap, proposal)}." for cap in sorted(open_)),
            "Prove the report: trials decide.",
            severity=Severity.WARNING,
        )
    yield from _lacking(missing, service, proposal, report)


def _lacking(
    missing: list[Cap], service: Service, proposal: Proposal, report: str
) -> Iterator[Finding]:
    for severity in Severity:
        caps = [cap for cap in missing if _severity(cap, service, proposal) is severity]
        if caps:
            yield service.finding(
                "under-permissioned",
                "",
                f"it lacks {_names(caps)}, which {report} shows a need for",
                " ".join(_why(cap, service, proposal) for cap in caps),
                f"Add {_names(caps)}.",
                severity=severity,
            )


def _is_open(cap: Cap, proposal: Proposal) -> bool:
    """Whether the recording could not see if it is needed, and no trial has shown it."""
    tried = proposal.minimal is not None or proposal.need(cap).verdict is Verdict.OPTIONAL
    return bool(_doubt(cap, proposal)) and not tried


def _doubt(cap: Cap, proposal: Proposal) -> str:
    return printable(proposal.need(cap).uncertain or "")


def _first(caps: CapSet, service: Service) -> str:
    """The first of these as the file adds it; empty where it adds none."""
    parse = service.consumer.parse
    return next((name for name in service.declared.add if parse(name) in caps), "")


def _severity(cap: Cap, service: Service, proposal: Proposal) -> Severity:
    kept = proposal.minimal is not None and cap not in proposal.minimal
    free = cap == _BIND and service.consumer.free_ports
    return Severity.WARNING if kept or free else Severity.ERROR


def _why(cap: Cap, service: Service, proposal: Proposal) -> str:
    need = proposal.need(cap)
    text = f"{cap.short}: {need.reason}."
    if need.verdict is Verdict.OPTIONAL and need.lost_without:
        text += f" It works without, but {without(need)}."
    if cap == _BIND and service.consumer.free_ports:
        text += f" {service.consumer.free_ports}"
    return text


def _why_not(caps: CapSet, service: Service, proposal: Proposal) -> str:
    """By what the report says of them; the worst by name."""
    parts = []
    for verdict, said in _SAID.items():
        if of_verdict := [cap for cap in caps if proposal.need(cap).verdict is verdict]:
            parts.append(f"{said}: {_names(of_verdict)}")
    worst = [cap for cap in caps if service.catalog.risk(cap) == "root"]
    more = f" Root-equivalent on the host: {_names(worst)}." if worst else ""
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}.{more}"


def _names(caps: Iterable[Cap]) -> str:
    return ", ".join(cap.short for cap in sorted(caps))


def _has(cap: Cap, proposal: Proposal, granted: CapSet) -> bool:
    """It is granted, or what would do instead is."""
    return cap in granted or any(
        frozenset(group) <= granted for group in proposal.need(cap).alternatives
    )


def _stand_ins(proposal: Proposal, granted: CapSet) -> CapSet:
    """What is granted in place of a recommended capability."""
    return frozenset(
        other
        for cap in proposal.recommended - granted
        for group in proposal.need(cap).alternatives
        if frozenset(group) <= granted
        for other in group
    )
