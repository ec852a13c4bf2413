"""The report as JSON values, in the full shape of ``schema.json``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from capadvise import __version__
from capadvise.catalog import Catalog, Meaning
from capadvise.catalog.capabilities import Risk
from capadvise.judgement.behaviour import mounts_overlays
from capadvise.judgement.decide import Need
from capadvise.judgement.hardening import Hardening
from capadvise.judgement.proven import Proven
from capadvise.judgement.refusals import refusals
from capadvise.judgement.report import SCHEMA, Report
from capadvise.judgement.user_namespace import Fit, Placed, placements
from capadvise.model.caps import names
from capadvise.model.posture import Mac, Posture, Sharing
from capadvise.model.recording import AuditDenial, Check, ImageFile, Origin, Recording, RefusedCall
from capadvise.model.target import Target
from capadvise.model.workload import Workload
from capadvise.report.compared import Comparison, compared
from capadvise.report.fit import fit_of_report
from capadvise.report.lamps import RisksHere


def dump(report: Report, catalog: Catalog) -> dict[str, Any]:
    """The report as JSON values, in the full shape of the contract."""
    proposal = report.proposal
    risks = RisksHere(report, catalog)
    placed = placements(proposal, catalog, report.posture)
    caps, mac = sorted(proposal.recommended), report.posture.mac
    return {
        "schema": SCHEMA,
        "tool": {"version": __version__},
        "target": {
            "kind": report.target.kind,
            "name": report.target.name,
            "argv": list(report.target.argv),
            "cwd": report.target.cwd,
            "user": report.target.user,
            "image": report.target.image,
            "engine": report.target.engine,
            "container": report.target.container,
            "service": report.target.service,
            "pod": report.target.pod,
            "privileged": report.target.privileged,
            **_of_workload(report.target),
        },
        "workload": {
            "kind": report.workload.kind,
            "setup": report.workload.setup,
            "check": report.workload.check,
            "expect_exit": report.workload.expect_exit,
            "timeout": report.workload.timeout,
            "teardown": report.workload.teardown,
            "fresh": list(report.workload.fresh),
            "check_after": report.workload.check_after,
            "steps": _steps(report.workload),
        },
        "posture": dump_posture(report.posture),
        "recordings": [dump_recording(item, catalog, mac) for item in report.recordings],
        "needs": [_need(need, risks.get(need.cap), placed[need.cap]) for need in proposal.needs],
        "proposal": {
            "set": "recommended",
            "cap_drop": ["ALL"],
            "cap_add": [cap.short for cap in caps],
            "recommended": names(caps),
            "floor": None if proposal.minimal is None else names(proposal.minimal),
            "user_namespace": _fit(fit_of_report(report, catalog)),
        },
        "proof": None if report.proven is None else _proof(report.proven),
        "known": _known(compared(report, catalog.known_index)),
    }


def _known(comparison: Comparison | None) -> dict[str, Any] | None:
    if comparison is None:
        return None
    program, variant = comparison.program, comparison.variant
    return {
        "program": program.name,
        "version": program.version,
        "variant": variant.name,
        "set": "floor" if comparison.minimal else "recommended",
        "recommended": names(variant.recommended),
        "floor": names(variant.minimal),
        "more": names(comparison.more),
        "less": names(comparison.less),
    }


def _of_workload(target: Target) -> dict[str, Any]:
    """Only where there is one."""
    if target.owner is None:
        return {}
    return {"owner": target.owner, "replicas": target.replicas}


def _image_file(file: ImageFile) -> dict[str, Any]:
    return {
        "path": file.path,
        "layer": file.layer,
        "change": str(file.change),
        "owner": file.owner,
        "became": file.became,
    }


def _imports(recording: Recording) -> list[dict[str, str]]:
    return [{"program": p, "function": function} for p, function in sorted(recording.imports)]


def _steps(workload: Workload) -> list[dict[str, str | None]] | None:
    if workload.steps is None:
        return None
    return [{"do": str(step.act), "with": step.text} for step in workload.steps]


def dump_recording(
    recording: Recording, catalog: Catalog, mac: Mac | None = None
) -> dict[str, Any]:
    """One recording as JSON values."""
    own_mounts = mounts_overlays(recording, catalog.signs)
    return {
        "host": asdict(recording.host) | {"lsm": list(recording.host.lsm)},
        "started": recording.started,
        "seconds": recording.seconds,
        "exit_status": recording.exit_status,
        "interrupted": recording.interrupted,
        "succeeded": recording.succeeded,
        "held": {
            "bounding": names(recording.held.bounding),
            "permitted": names(recording.held.permitted),
            "ambient": names(recording.held.ambient),
        },
        "lost": asdict(recording.lost),
        "image_files": [_image_file(file) for file in recording.image_files],
        "foreign_folders": [asdict(folder) for folder in recording.foreign_folders],
        "attached": recording.attached,
        "restarted": recording.restarted,
        "io_uring": recording.io_uring,
        "setid_exec": recording.setid_exec,
        "proc_scanners": (
            None if recording.proc_scanners is None else sorted(recording.proc_scanners)
        ),
        "access_time_keepers": sorted(recording.access_time_keepers),
        "isolators": sorted(recording.isolators),
        "imports": _imports(recording),
        "own_sets": [
            {"program": program, "kept": names(kept)} for program, kept in recording.fixed_capsets
        ],
        "still_running": sorted(recording.still_running),
        "cautions": list(recording.cautions),
        "started_containers": recording.started_containers,
        "start": recording.start,
        **({} if recording.pod is None else {"pod": recording.pod}),
        "program": recording.program,
        "checks": [_check(check, catalog, own_mounts) for check in recording.checks],
        "refusals": [
            {
                "syscall": refusal.syscall,
                "errno": refusal.errno,
                "by": str(refusal.by),
                "program": refusal.program,
                "count": refusal.count,
                "evidence": refusal.evidence,
            }
            for refusal in refusals(recording, catalog, mac)
        ],
        "refused_calls": [_refused_call(call) for call in recording.refused_calls],
        "audit": [_audit_denial(denial) for denial in recording.audit],
    }


def _check(check: Check, catalog: Catalog, own_mounts: bool) -> dict[str, Any]:
    rule = catalog.sites.match(check.cap, check.place, own_mounts=own_mounts)
    foreign = rule is not None and rule.meaning is Meaning.FOREIGN_CREDENTIALS
    return {
        "id": check.id,
        "cap": check.cap.name,
        "granted": check.granted,
        "ns": str(check.ns),
        "creds": "foreign" if foreign else "own",
        "syscall": check.syscall,
        "result": check.result,
        "args": dict(check.args),
        "detail": check.detail,
        "options": None if check.options is None else [str(option) for option in check.options],
        "origin": str(check.origin),
        "site": list(check.site) if check.origin is Origin.KERNEL else [str(check.origin)],
        "program": check.program,
        "pid": check.pid,
        "uid": check.uid,
        "phase": str(check.phase),
        "count": check.count,
        "first": check.first,
        "retried": None if check.retried is None else str(check.retried),
        "without": check.without,
        "together": names(check.together),
    }


def _fit(fit: Fit) -> dict[str, Any]:
    return {"fits": fit.fits, "ids": None if fit.fits is False else fit.ids}


def _need(need: Need, risk: Risk | None, placed: Placed) -> dict[str, Any]:
    return {
        "cap": need.cap.name,
        "verdict": str(need.verdict),
        "proof": str(need.proof),
        "uncertain": need.uncertain,
        "reason": need.reason,
        "lost_without": need.lost_without,
        "instead": need.remediation,
        "alternatives": [names(caps) for caps in need.alternatives],
        "self_restricting": need.self_restricting,
        "risk": None if risk is None else str(risk),
        "scope": None if placed.scope is None else str(placed.scope),
        "evidence": [judged.check.id for judged in need.evidence],
        "tried": [{"instead": other, "passed": passed} for other, passed in need.tried],
        "phases": list(need.phases),
        "seen": {"recordings": need.seen[0], "of": need.seen[1]},
    }


def _proof(proven: Proven) -> dict[str, Any]:
    return {
        "isolation": proven.isolation,
        "user_namespace": proven.user_namespace,
        "leaves_nothing": proven.leaves_nothing,
        "flaky": proven.flaky,
        "complete": proven.complete,
        "untried": names(proven.untried),
        "cautions": list(proven.cautions),
        "logs": list(proven.logs),
        "hardening": None if proven.hardening is None else _hardening(proven.hardening),
        "recommended": {"sound": proven.recommended_sound},
        "floor": None
        if proven.minimal is None
        else {"sound": True, "minimal": proven.complete, "caps": names(proven.minimal)},
        "trials": [
            {
                "caps": names(trial.caps),
                "without": None if trial.without is None else trial.without.name,
                "repeat": trial.repeat,
                "passed": trial.passed,
                "seconds": trial.seconds,
                "differences": list(trial.differences),
                "failed_at": trial.failed_at,
                "instead": list(trial.instead),
            }
            for trial in proven.trials
        ],
    }


def _hardening(hardening: Hardening) -> dict[str, Any]:
    exposure = hardening.exposure
    return {
        "caps": names(hardening.caps),
        "options": list(hardening.lines),
        "left_out": [{"option": line, "why": why} for line, why in hardening.left_out],
        "trials": hardening.trials,
        "exposure": None if exposure is None else {"before": exposure[0], "after": exposure[1]},
    }


def _refused_call(call: RefusedCall) -> dict[str, Any]:
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


def _audit_denial(denial: AuditDenial) -> dict[str, Any]:
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


def dump_posture(posture: Posture) -> dict[str, Any]:
    """All parts; null for what could not be read."""
    raw = _as_json(asdict(posture))
    assert isinstance(raw, dict)
    return raw


def _as_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _as_json(item) for name, item in value.items()}
    if isinstance(value, tuple):
        return [_as_json(item) for item in value]
    return str(value) if isinstance(value, Sharing) else value
