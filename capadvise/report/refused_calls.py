"""Refused calls in a report: as they were seen, for a better catalog to judge again."""

from __future__ import annotations

from typing import Any

from capadvise.caps import Cap
from capadvise.recording import AuditDenial, DeniedCheck, Namespace, RefusedBy, RefusedCall, Told
from capadvise.report.values import optional, text, texts, word


def dump_refused_call(call: RefusedCall) -> dict[str, Any]:
    """One refused call as JSON values."""
    return {
        "syscall": call.syscall,
        "errno": call.errno,
        "program": call.program,
        "count": call.count,
        "uid": call.uid,
        "entered": call.entered,
        "denied": [
            {"cap": check.cap.name, "site": list(check.site), "ns": str(check.ns)}
            for check in call.denied
        ],
        "own_namespace": call.own_namespace,
        "told": call.told and {"by": str(call.told.by), "evidence": call.told.evidence},
    }


def dump_audit_denial(denial: AuditDenial) -> dict[str, Any]:
    """What the audit told as JSON values."""
    return {
        "syscall": denial.syscall,
        "errno": denial.errno,
        "program": denial.program,
        "by": str(denial.by),
        "evidence": denial.evidence,
        "of_a_call": denial.of_a_call,
        "count": denial.count,
    }


def load_refused_calls(raw: Any) -> tuple[RefusedCall, ...]:
    """As they were seen; of an older report, which keeps the judgement alone, as that says."""
    if "refused_calls" in raw:
        return tuple(map(_refused_call, raw["refused_calls"]))
    return tuple(
        RefusedCall(
            *(word(item["syscall"]), word(item["errno"]), text(item["program"])),
            count=int(item["count"]),
            told=_told(item),
        )
        for item in raw["refusals"]
    )


def load_audit_denial(raw: Any) -> AuditDenial:
    """What the audit told."""
    return AuditDenial(
        syscall=word(raw["syscall"]),
        errno=word(raw["errno"]),
        program=text(raw["program"]),
        by=RefusedBy(raw["by"]),
        evidence=text(raw["evidence"]),
        of_a_call=bool(raw["of_a_call"]),
        count=int(raw["count"]),
    )


def _refused_call(raw: Any) -> RefusedCall:
    return RefusedCall(
        syscall=word(raw["syscall"]),
        errno=word(raw["errno"]),
        program=text(raw["program"]),
        count=int(raw["count"]),
        uid=optional(raw["uid"], int),
        entered=optional(raw["entered"], bool),
        denied=tuple(
            DeniedCheck(Cap.parse(item["cap"]), texts(item["site"]), Namespace(item["ns"]))
            for item in raw["denied"]
        ),
        own_namespace=bool(raw["own_namespace"]),
        told=None if raw["told"] is None else _told(raw["told"]),
    )


def _told(raw: Any) -> Told:
    return Told(RefusedBy(raw["by"]), text(raw["evidence"]))
