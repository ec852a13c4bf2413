"""Compare what a service is granted with what its report shows that it needs. Pure."""

from collections.abc import Iterable, Iterator

from capadvise.catalog.circumstances import Circumstance
from capadvise.config.declared import Exposure
from capadvise.gate.finding import Finding, Severity
from capadvise.gate.service import Service, circumstances_of
from capadvise.judgement.decide import Proposal, Verdict
from capadvise.judgement.report import Report
from capadvise.judgement.risk import remaining, risk_word
from capadvise.judgement.user_namespace import USUAL_IDS
from capadvise.model.caps import Cap, CapSet
from capadvise.model.escape import printable
from capadvise.model.wording import it_or_them, set_text
from capadvise.report.fit import can_move, fit_of_report
from capadvise.report.lines import listed, sentence
from capadvise.report.words import doubts, without

_BIND = Cap.parse("NET_BIND_SERVICE")
_VERDICT_WORDS = {
    Verdict.NOT_CHECKED: "not checked",
    Verdict.INCIDENTAL: "incidental",
    Verdict.DENIED: "denied, no effect",
    Verdict.OPTIONAL: "optional",
}


def against(
    service: Service, proposal: Proposal, report: str, standing: str, *, enough: bool = True
) -> Iterator[Finding]:
    """Over- and under-permissioned, by the report that is called ``report``.

    An error: a required capability is not granted. A warning: one that is only recommended is not.
    If another capability would do as well, either counts. ``standing``: how far the report
    can be trusted, in words. Not ``enough``: it shows neither what the service does not need nor
    that the set suffices.
    """
    report, rests_on = printable(report), f"The report: {printable(standing)}."
    if service.declared.privileged:
        return  # a finding of its own; emit says what to add instead
    wanted = proposal.recommended
    missing = [cap for cap in sorted(wanted) if not _has(cap, proposal, service.granted)]
    beyond = service.granted - wanted - (proposal.minimal or frozenset())
    beyond -= _stand_ins(proposal, service.granted)
    open_ = frozenset(cap for cap in beyond if _is_open(cap, proposal))
    if not enough:
        rule = "over-permissioned" if beyond else "under-permissioned"
        yield service.finding(
            rule,
            _first(beyond, service),
            _unclear(beyond, report)
            if beyond
            else f"its next start may need more than {report} shows",
            rests_on,
            "Record a whole run, or prove the report.",
            severity=Severity.WARNING,
        )
        beyond = open_ = frozenset()
    if over := beyond - open_:
        yield service.finding(
            "over-permissioned",
            _first(over, service),
            f"it holds {set_text(over)}, for which {report} shows no need",
            f"{_why_not(over, service, proposal)} {rests_on}",
            f"Drop ALL and add {set_text(wanted | open_)}." if wanted | open_ else "Drop ALL.",
        )
    if open_:
        yield service.finding(
            "over-permissioned",
            _first(open_, service),
            f"it holds {set_text(open_)}, which may be needed, as far as {report} tells",
            " ".join(dict.fromkeys(f"{text}." for text in doubts(proposal, open_))),
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
                f"it lacks {set_text(caps)}, which {report} shows a need for",
                " ".join(_why(cap, service, proposal) for cap in caps),
                _to_add(caps, service),
                severity=severity,
            )


def _binds_freely(cap: Cap, service: Service) -> bool:
    """True if the engine may open every port to its containers, except in the host's network."""
    on_host = service.declared.exposes(Exposure.HOST_NETWORK)
    return cap == _BIND and bool(service.consumer.free_ports) and not on_host


def _to_add(caps: Iterable[Cap], service: Service) -> str:
    """The capabilities to add; for a port that the engine may open, the condition."""
    free = [cap for cap in caps if _binds_freely(cap, service)]
    rest = [cap for cap in caps if cap not in free]
    return " ".join(
        [f"Add {set_text(rest)}."] * bool(rest) + [service.consumer.free_ports] * len(free)
    )


def _is_open(cap: Cap, proposal: Proposal) -> bool:
    """True if neither the recording nor a trial shows whether it is needed."""
    tried = proposal.minimal is not None or proposal.need(cap).verdict is Verdict.OPTIONAL
    return not tried and any(doubt.cap in (cap, None) for doubt in proposal.doubts)


def _first(caps: CapSet, service: Service) -> str:
    """The first of these as the file spells it; empty if the file adds none of them."""
    parse = service.consumer.parse
    return next((name for name in service.declared.add if parse(name) in caps), "")


def _severity(cap: Cap, service: Service, proposal: Proposal) -> Severity:
    kept = proposal.minimal is not None and cap not in proposal.minimal
    return Severity.WARNING if kept or _binds_freely(cap, service) else Severity.ERROR


def _why(cap: Cap, service: Service, proposal: Proposal) -> str:
    need = proposal.need(cap)
    text = f"{cap.short}: {need.reason}."
    if need.verdict is Verdict.OPTIONAL and need.lost_without:
        text += f" Without it: {without(need)}."
    return text


def _unclear(caps: CapSet, report: str) -> str:
    return f"it holds {set_text(caps)}: {report} cannot tell whether it needs {it_or_them(caps)}"


def _why_not(caps: CapSet, service: Service, proposal: Proposal) -> str:
    """The report's verdicts on them; names the root-equivalent ones."""
    parts = []
    for verdict, said in _VERDICT_WORDS.items():
        if of_verdict := [cap for cap in caps if proposal.need(cap).verdict is verdict]:
            parts.append(f"{said}: {set_text(of_verdict)}")
    worst = [cap for cap in caps if service.catalog.risk(cap) == "root"]
    more = f" Root-equivalent on the host: {set_text(worst)}." if worst else ""
    return f"{sentence('; '.join(parts))}{more}" if parts else more.lstrip()


def _has(cap: Cap, proposal: Proposal, granted: CapSet) -> bool:
    """True if it is granted, or an alternative to it is."""
    return cap in granted or any(
        frozenset(group) <= granted for group in proposal.need(cap).alternatives
    )


def _stand_ins(proposal: Proposal, granted: CapSet) -> CapSet:
    """The granted capabilities that replace a recommended one."""
    return frozenset(
        other
        for cap in proposal.recommended - granted
        for group in proposal.need(cap).alternatives
        if frozenset(group) <= granted
        for other in group
    )


# ------------------------------------------------------------ user namespaces

_EXCLUDING = (Exposure.HOST_NETWORK, Exposure.HOST_PROCESSES, Exposure.HOST_IPC)
"""Kubernetes and docker's userns-remap refuse these together with one."""


def own_users(service: Service, report: Report, path: str) -> Iterator[Finding]:
    """One finding if the report shows that the set works in a user namespace, at lower risk."""
    if _may_not(service) or not can_move(report):
        return
    milder = list(_milder(service, report))
    fit = fit_of_report(report, service.catalog)
    if not milder or not fit.fits or fit.volumes:
        return
    lost = listed([cap.short for cap, _ in fit.without])
    yield service.finding(
        "user-namespace",
        next((name for name, cap in service.added() if cap == milder[0][0]), ""),
        f"it would run in a user namespace of its own, where {listed([s for _, s in milder])}",
        f"{printable(path)} shows that it would work there, too."
        + f" {lost} would have no effect there." * bool(lost),
        f"{service.consumer.own_users}."
        + f" Map the ids up to {fit.ids - 1}." * (fit.ids > USUAL_IDS)
        + " `capadvise help user-namespaces` says what else is necessary.",
    )


def _may_not(service: Service) -> bool:
    """True if it has a user namespace, or can have none."""
    declared = service.declared
    if not service.consumer.own_users or declared.privileged:
        return True
    return any(map(declared.exposes, (Exposure.OWN_USERS, *_EXCLUDING)))


def _milder(service: Service, report: Report) -> Iterator[tuple[Cap, str]]:
    """Yield each needed capability whose risk is lower in a user namespace, and a sentence."""
    here = circumstances_of(service.declared, service.consumer)
    there = {**here, Circumstance.HOST_USER: False}
    for cap in sorted(service.granted & report.proposal.recommended):
        if entry := service.catalog.entry(cap):
            now, then = remaining(entry, here).risk, remaining(entry, there).risk
            if then < now:
                yield cap, f"the risk of {cap.short} is {risk_word(then)}, not {risk_word(now)}"
