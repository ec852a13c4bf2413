"""Where a user namespace of its own would hold what a service needs, by its report. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from capadvise.catalog.circumstances import Circumstance
from capadvise.config.declared import Exposure
from capadvise.gate.finding import Finding
from capadvise.gate.place import known
from capadvise.gate.service import Service
from capadvise.judgement.report import Report
from capadvise.judgement.user_namespace import USUAL_IDS
from capadvise.model.caps import Cap
from capadvise.model.escape import printable
from capadvise.report.fit import can_move, fit_of_report
from capadvise.report.lines import listed
from capadvise.report.risk import remaining, risk_word

_EXCLUDING = (Exposure.HOST_NETWORK, Exposure.HOST_PROCESSES, Exposure.HOST_IPC)
"""Kubernetes and docker's userns-remap refuse these together with one."""


def own_users(service: Service, report: Report, path: str) -> Iterator[Finding]:
    """One finding: the report shows that the set would count there, where its risk is lower."""
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
        f"{printable(path)} shows that what it needs works there, too."
        + f" {lost} would have no effect there." * bool(lost),
        f"{service.consumer.own_users}."
        + f" Map the ids up to {fit.ids - 1}." * (fit.ids > USUAL_IDS)
        + " `capadvise help user-namespaces` says what else it needs.",
    )


def _may_not(service: Service) -> bool:
    """It has one, or can have none."""
    declared = service.declared
    if not service.consumer.own_users or declared.privileged:
        return True
    return any(map(declared.exposes, (Exposure.OWN_USERS, *_EXCLUDING)))


def _milder(service: Service, report: Report) -> Iterator[tuple[Cap, str]]:
    """What is needed, and how its risk would be another one."""
    here = known(service.declared, service.consumer)
    there = {**here, Circumstance.HOST_USER: False}
    for cap in sorted(service.granted & report.proposal.recommended):
        if entry := service.catalog.entry(cap):
            now, then = remaining(entry, here).risk, remaining(entry, there).risk
            if then < now:
                yield cap, f"the risk of {cap.short} is {risk_word(then)}, not {risk_word(now)}"
