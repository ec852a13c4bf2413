"""A recording built from an audit log: refusals, and the capabilities that they were about.
Pure."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Sequence

from capadvise.catalog import Catalog
from capadvise.model.caps import Cap
from capadvise.model.recording import (
    Check,
    Held,
    Host,
    Lost,
    Namespace,
    Origin,
    Recording,
    RefusedBy,
    RefusedCall,
    Told,
)
from capadvise.observe.audit.denials import Denial


def programs(denials: Sequence[Denial]) -> Counter[str]:
    """How often each program was refused something."""
    return Counter(denial.program for denial in denials)


_Checks = dict[tuple[Cap, bool, str | None, bool, int | None, bool], list[Denial]]
_Refusals = Counter[tuple[str, str, RefusedBy, str, str]]


def _distinct(denials: Sequence[Denial], catalog: Catalog) -> tuple[_Checks, _Refusals]:
    """The checks that the records show, and the refused calls with how often they were refused."""
    checks: _Checks = {}
    refusals: _Refusals = Counter()
    for denial in denials:
        cap, inferred = denial.cap, False
        if cap is None and denial.by is RefusedBy.UNKNOWN:
            cap, inferred = _the_only(denial, catalog), True
        if cap is not None:
            inside = denial.in_user_namespace
            key = (cap, not denial.refused, denial.syscall, inferred, denial.uid, inside)
            checks.setdefault(key, []).append(denial)
        if denial.refused:
            call, error = denial.syscall or "?", denial.errno or "EPERM"
            refusals[call, error, denial.by, denial.program, _evidence(denial, catalog)] += 1
    return checks, refusals


def recorded(denials: Sequence[Denial], catalog: Catalog) -> Recording:
    """What was seen of one program. What it held is not known: nothing is taken as held."""
    times = [denial.time for denial in denials if denial.time is not None]
    begin, end = (min(times), max(times)) if times else (0.0, 0.0)
    checks, refusals = _distinct(denials, catalog)
    started = datetime.datetime.fromtimestamp(begin, datetime.UTC)
    nothing = Held(frozenset(), frozenset(), frozenset())
    return Recording(
        host=Host("", "", 40, "audit", ()),
        held=nothing,
        started=started.isoformat(timespec="milliseconds"),
        seconds=round(end - begin, 3),
        exit_status=None,
        checks=tuple(
            Check(
                id=number,
                cap=cap,
                granted=granted,
                ns=Namespace.CHILD if inside else Namespace.TARGET,
                site=(),
                origin=Origin.AUDIT_ERROR if inferred else Origin.AUDIT,
                program=same[0].program,
                pid=same[0].pid or 0,
                count=len(same),
                first=round((same[0].time or begin) - begin, 3),
                syscall=syscall,
                result=None if granted else -1,
                uid=uid,
            )
            for number, (
                (cap, granted, syscall, inferred, uid, inside),
                same,
            ) in enumerate(checks.items(), start=1)
        ),
        refused_calls=tuple(
            RefusedCall(call, code, program, count, told=Told(by, evidence))
            for (call, code, by, program, evidence), count in sorted(refusals.items())
        ),
        lost=Lost(),
        attached=True,
    )


def _the_only(denial: Denial, catalog: Catalog) -> Cap | None:
    """The capability, where only one can have been missing (``catalog/errnos.yaml``)."""
    candidates = _candidates(denial, catalog)
    return candidates[0] if len(candidates) == 1 else None


def _candidates(denial: Denial, catalog: Catalog) -> tuple[Cap, ...]:
    return catalog.errnos.get((denial.syscall or "", denial.errno or ""), ())


def _evidence(denial: Denial, catalog: Catalog) -> str:
    candidates = _candidates(denial, catalog) if denial.by is RefusedBy.UNKNOWN else ()
    if not candidates:
        return denial.evidence
    names = " or ".join(cap.short for cap in candidates)
    return f"{denial.evidence}; {names} may have been missing"
