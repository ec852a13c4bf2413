"""Where a user namespace of its own would hold what a service needs, by its report. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from capadvise.catalog.circumstances import Circumstance
from capadvise.formats.declared import Exposure
from capadvise.gate.finding import Finding
from capadvise.gate.place import known
from capadvise.gate.service import Service
from capadvise.report.escape import printable
from capadvise.report.explain_facts import remaining
from capadvise.report.explain_words import listed
from capadvise.report.fit import can_move, fit_of_report
from capadvise.report.model import Report
from capadvise.report.words import risk_word
from capadvise.user_namespace import USUAL_IDS

_EXCLUDING = (Exposure.HOST_NETWORK, Exposure.HOST_PROCESSES, Exposure.HOST_IPC)
"""Kubernetes and docker's userns-remap refuse these together with one."""


def own_users(service: Service, report: Report, path: str) -> Iterator[Finding]:
    """One finding: the report shows that the set would count there, where its risk is lower."""
    declared, consumer = service.declared, service.consumer
    excluded = declared.privileged or any(map(declared.exposes, _EXCLUDING))
    if not consumer.own_users or excluded or declared.exposes(Exposure.OWN_USERS):
        return
    here = known(declared, consumer)
    there = {**here, Circumstance.HOST_USER: False}
    milder = []
    for cap in sorted(service.granted & report.proposal.recommended):
        entry = service.catalog.entry(cap)
        if entry and (risk := remaining(entry, there).risk) < remaining(entry, here).risk:
            milder.append((cap.short, risk_word(risk), risk_word(remaining(entry, here).risk)))
    if not milder or not can_move(report):
        return
    fit = fit_of_report(report, service.catalog)
    if not fit.fits or fit.volumes:
        return
    lost = listed([cap.short for cap, _ in fit.without])
    risks = listed([f"{name} would be {risk}, not {was}" for name, risk, was in milder])
    yield service.finding(
        "user-namespace",
        next((name for name, cap in service.added() if cap.short == milder[0][0]), ""),
        f"it would run in a user namespace of its own, as {printable(path)} shows",
        f"The risk of {risks}." + f" {lost} would have no effect there." * bool(lost),
        f"{consumer.own_users}."
        + f" Map the ids up to {fit.ids - 1}." * (fit.ids > USUAL_IDS)
        + " `capadvise help user-namespaces` says what else it needs.",
    )
