"""The services of a machine for people: which holds what, and which has no report. A line each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath

from capadvise.config.declared import is_root
from capadvise.config.units.names import called_after
from capadvise.gate.consumers import EVERY
from capadvise.gate.finding import Severity
from capadvise.gate.outcome import Examined, JudgedService, Outcome
from capadvise.model.caps import CapSet
from capadvise.model.escape import printable

_NAMED = 4
_MARKS = {Severity.ERROR: "×", Severity.WARNING: "!"}


def installed_text(outcome: Outcome) -> Iterator[str]:
    """Those that hold most first."""
    rows = [(file, service) for file in outcome.files for service in file.services]
    most = len(EVERY)
    yield f"  {'UNIT':32} {'USER':16} {'REPORT':8} HOLDS"
    for file, service in sorted(rows, key=lambda row: (-len(row[1].granted), _unit(row[0]))):
        yield _row(file, service, most)
    yield ""
    yield _summary([service for _, service in rows], most)
    if any(finding.severity in _MARKS for _, service in rows for finding in service.findings):
        yield "× and ! mark errors and warnings, which --output json names."


def _row(file: Examined, service: JudgedService, most: int) -> str:
    declared = next(one for one in file.source.declared if one.service == service.name)
    worst = min((f.severity for f in service.findings), key=lambda s: s.rank, default=None)
    mark = " " if worst is None else _MARKS.get(worst, " ")
    report = "none" if service.report is None else "exact" if service.exact else "differs"
    held = held_text(service.granted, most)
    if declared.ambient is None and not is_root(declared.user) and service.granted:
        held += ", by set-id programs only"
    user = printable(declared.user or "root")
    return f"{mark} {_unit(file):32} {user:16.16} {report:8} {held}"


def _unit(file: Examined) -> str:
    """``web``, ``web@`` of a template."""
    return printable(PurePath(called_after(file.source.paths)).stem)


def held_text(granted: CapSet, most: int) -> str:
    """``all 41``, ``CHOWN, SETUID``, ``12 of them``."""
    if not granted:
        return "nothing"
    if len(granted) == most:
        return f"all {most}"
    names = ", ".join(cap.short for cap in sorted(granted))
    return names if len(granted) <= _NAMED else f"{len(granted)} of them"


def _summary(services: list[JudgedService], most: int) -> str:
    unlimited = sum(len(one.granted) == most for one in services)
    unknown = sum(one.report is None for one in services)
    return (
        f"{len(services)} services: {unlimited} have all {most} capabilities, "
        f"{unknown} have no report. Record one: capadvise run -- systemctl restart UNIT"
    )
