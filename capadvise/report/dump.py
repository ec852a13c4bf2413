"""The report as JSON values, in the full shape of ``schema.json``."""

import shlex
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from capadvise import __version__
from capadvise.catalog import Catalog, Meaning
from capadvise.catalog.capabilities import Risk
from capadvise.judgement.behaviour import mounts_overlays
from capadvise.judgement.conclusion import Conclusion, conclude_report, not_tested
from capadvise.judgement.decide import Need
from capadvise.judgement.flags import default_seccomp, no_new_privs
from capadvise.judgement.hardening import Hardening
from capadvise.judgement.opening import Opening
from capadvise.judgement.proven import Proven
from capadvise.judgement.refusals import refusals
from capadvise.judgement.report import SCHEMA, Report
from capadvise.judgement.risk import RisksHere
from capadvise.judgement.user_namespace import Placed, placements
from capadvise.model.caps import Cap, names
from capadvise.model.companion import Companion, CompanionKind, in_plan
from capadvise.model.posture import Mac
from capadvise.model.recording import Check, Origin, Recording
from capadvise.model.target import Target
from capadvise.report.compared import Comparison, compared
from capadvise.report.fit import fit_of_report


def dump(report: Report, catalog: Catalog) -> dict[str, Any]:
    """The report as JSON values, in the full shape of the contract."""
    proposal = report.proposal
    risks = RisksHere(report, catalog)
    placed = placements(proposal, catalog, report.posture)
    caps, mac = sorted(proposal.recommended), report.posture.mac
    fit = fit_of_report(report, catalog)
    steps = report.workload.steps
    return {
        "schema": SCHEMA,
        "tool": {"version": __version__},
        "target": _target(report.target),
        "workload": as_json(report.workload)
        | {
            "steps": None
            if steps is None
            else [{"do": str(step.act), "with": step.text} for step in steps]
        },
        "posture": as_json(report.posture),
        "recordings": [dump_recording(item, catalog, mac) for item in report.recordings],
        "needs": [_need(need, risks.get(need.cap), placed[need.cap]) for need in proposal.needs],
        "proposal": {
            "set": "recommended",
            "cap_drop": ["ALL"],
            "cap_add": [cap.short for cap in caps],
            "recommended": names(caps),
            "minimal": None if proposal.minimal is None else names(proposal.minimal),
            "user_namespace": {"fits": fit.fits, "ids": None if fit.fits is False else fit.ids},
        },
        "proof": None if report.proven is None else _proof(report.proven),
        "conclusion": _conclusion(report, conclude_report(report, catalog, risks=risks), catalog),
        "known": _known(compared(report, catalog.known_index)),
    }


def _conclusion(report: Report, conclusion: Conclusion, catalog: Catalog) -> dict[str, Any]:
    baseline = conclusion.baseline
    return {
        **part(conclusion, "standing", "recommended", "minimal", "doubt", "trials", "date"),
        "baseline": {"caps": names(baseline.caps), "from": baseline.source},
        "risk": {"from": conclusion.risk_before, "to": conclusion.risk_after},
        "also_passed": [
            {"caps": names(one.caps), "with": _with(one.beside)} for one in conclusion.also_passed
        ],
        "doubts": as_json(conclusion.doubts),
        "compared": list(conclusion.compared),
        "companions": {
            "no_new_privs": no_new_privs(report, conclusion.caps).tried,
            "seccomp": default_seccomp(report, conclusion.caps, catalog).tried,
        },
        "not_tested": list(not_tested(report)),
        "next": shlex.join(conclusion.next.words),
    }


def _with(beside: tuple[str, ...]) -> dict[str, Any]:
    """The companions of a set that passed, by their kinds."""
    companions = [Companion.parse(word) for word in beside]
    kinds = in_plan(companions)
    pairs = [word.partition("=")[::2] for word in kinds[CompanionKind.SYSCTL.value]]
    return {
        "without_file_capabilities": kinds[CompanionKind.FILE_CAPS.value],
        "sysctls": {name: value for name, value in pairs if "." in name},
        "groups": [name for one in kinds[CompanionKind.GROUPS.value] for name in one.split(",")],
        "keys": {name: value for name, value in pairs if "." not in name},
        "seccomp": None,
    }


def _known(comparison: Comparison | None) -> dict[str, Any] | None:
    if comparison is None:
        return None
    program, variant = comparison.program, comparison.variant
    return {
        "program": program.name,
        "version": program.version,
        "variant": variant.name,
        "set": "minimal" if comparison.minimal else "recommended",
        **part(variant, "recommended", "minimal"),
        **part(comparison, "more", "less"),
    }


def _target(target: Target) -> dict[str, Any]:
    """Without what only the pods of a workload have."""
    raw: dict[str, Any] = as_json(target)
    if target.owner is None:
        del raw["owner"], raw["replicas"]
    return raw


def dump_recording(
    recording: Recording, catalog: Catalog, mac: Mac | None = None
) -> dict[str, Any]:
    own_mounts = mounts_overlays(recording, catalog.signs)
    return {
        **part(recording, "host", "started", "seconds", "exit_status", "interrupted"),
        **part(recording, "succeeded", "held", "lost", "image_files", "foreign_folders"),
        **part(recording, "attached", "restarted", "io_uring", "setid_exec", "proc_scanners"),
        **part(recording, "proc_seekers", "proc_state_seekers", "access_time_keepers", "isolators"),
        "imports": [{"program": p, "function": name} for p, name in sorted(recording.imports)],
        "fixed_capsets": [
            {"program": program, "kept": names(kept)} for program, kept in recording.fixed_capsets
        ],
        "own_set_readers": [
            {"program": program, "caps": names(caps)} for program, caps in recording.own_set_readers
        ],
        "capable_files": as_json(recording.capable_files),
        **part(recording, "serving", "still_running", "cautions", "started_containers", "start"),
        **({} if recording.pod is None else {"pod": recording.pod}),
        **part(recording, "program", "second_run"),
        "checks": [_check(check, catalog, own_mounts) for check in recording.checks],
        "refusals": as_json(refusals(recording, catalog, mac)),
        **part(recording, "refused_calls", "audit"),
    }


def _check(check: Check, catalog: Catalog, own_mounts: bool) -> dict[str, Any]:
    rule = catalog.sites.match(check.cap, check.place, own_mounts=own_mounts)
    foreign = rule is not None and rule.meaning is Meaning.FOREIGN_CREDENTIALS
    return {
        **part(check, "id", "cap", "granted", "ns"),
        "creds": "foreign" if foreign else "own",
        **part(check, "syscall", "result"),
        "args": dict(check.args),
        **part(check, "detail", "options", "origin"),
        "site": list(check.site) if check.origin is Origin.KERNEL else [str(check.origin)],
        **part(check, "program", "pid", "uid", "phase", "count", "first", "retried", "without"),
        "together": names(check.together),
    }


def _need(need: Need, risk: Risk | None, placed: Placed) -> dict[str, Any]:
    return {
        **part(need, "cap", "verdict", "proof", "uncertain", "reason", "lost_without"),
        **part(need, "remediation", "alternatives", "self_restricting"),
        "risk": as_json(risk),
        "scope": as_json(placed.scope),
        "evidence": [judged.check.id for judged in need.evidence],
        "tried": [{"instead": other, "passed": passed} for other, passed in need.tried],
        "phases": list(need.phases),
        "seen": {"recordings": need.seen[0], "of": need.seen[1]},
    }


def _proof(proven: Proven) -> dict[str, Any]:
    return {
        **part(proven, "isolation", "user_namespace", "leaves_nothing", "flaky", "complete"),
        **part(proven, "untried", "cautions", "logs", "date", "compared"),
        "hardening": None if proven.hardening is None else _hardening(proven.hardening),
        "opening": None if proven.opening is None else _opening(proven.opening),
        "recommended": {"sound": proven.recommended_sound},
        "minimal": None
        if proven.minimal is None
        else {"sound": True, "minimal": proven.complete, "caps": names(proven.minimal)},
        "trials": [
            part(trial, "caps", "without", "repeat", "passed", "seconds", "differences")
            | part(trial, "failed_at", "instead")
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


def _opening(opening: Opening) -> dict[str, Any]:
    return {
        **part(opening, "without", "caps", "unmasked", "engine", "forbidden", "refused_by_mac"),
        "calls": list(map(str, opening.calls)),
        "profile": None if opening.profile is None else opening.profile.raw,
        "needed": [{"member": member, "why": why} for member, why in opening.needed],
        "trials": opening.trials,
    }


def as_json(value: Any) -> Any:
    """A value as JSON has it: fields by name, enumerations and capabilities as their words, sets as
    sorted lists. ``model.from_json.value_of`` is the inverse."""
    if type(value) in (str, int, float, bool):
        return value
    if isinstance(value, Cap):
        return value.name
    if isinstance(value, Enum):
        return str(value)
    if is_dataclass(value):
        return part(value, *(field.name for field in fields(value)))
    if isinstance(value, dict):
        return {name: as_json(item) for name, item in value.items()}
    if isinstance(value, frozenset):
        return [as_json(item) for item in sorted(value)]
    return [as_json(item) for item in value] if isinstance(value, tuple) else value


def part(value: Any, *names: str) -> dict[str, Any]:
    """Some fields of a value, as ``as_json`` has them."""
    return {name: as_json(getattr(value, name)) for name in names}
