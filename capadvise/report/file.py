"""The report file, ``capadvise.report/1``: everything that a run gave, as JSON.

The shape is public: ``capadvise/report/schema.json`` describes it, and tests hold the two
together. Reading judges anew: the recording is the truth, a verdict is only a view of it.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from capadvise import __version__
from capadvise.caps import Cap, CapSet, names, parse_set
from capadvise.catalog import Catalog, Meaning
from capadvise.decide import Need, Proposal, decide
from capadvise.errors import BadInput
from capadvise.judge import Context
from capadvise.prove import Proven, Trial, conclude
from capadvise.recording import (
    Check,
    Held,
    Host,
    Lost,
    Namespace,
    Phase,
    Posture,
    Recording,
    Refusal,
    RefusedBy,
    Target,
)
from capadvise.workload import Workload

_T = TypeVar("_T")
ISOLATIONS = ("workload", "command", "container", "none")
SCHEMA = "capadvise.report/1"
MAX_BYTES = 64 << 20
"""A larger file is not a report: evidence is aggregated."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a report file holds."""

    target: Target
    workload: Workload
    posture: Posture
    recordings: tuple[Recording, ...]
    proposal: Proposal
    """With the verdicts of the proof, where there is one."""
    proven: Proven | None = None

    @property
    def recording(self) -> Recording:
        """The first recording."""
        return self.recordings[0]


def dump(report: Report, catalog: Catalog) -> dict[str, Any]:
    """The report as JSON values, in the full shape of the contract."""
    proposal = report.proposal
    caps = sorted(proposal.recommended)
    return {
        "schema": SCHEMA,
        "tool": {"version": __version__},
        "target": {
            "kind": report.target.kind,
            "name": report.target.name,
            "argv": list(report.target.argv),
            "cwd": report.target.cwd,
            "user": report.target.user,
            **dict.fromkeys(("image", "engine", "container", "service", "pod")),
        },
        "workload": {
            "kind": report.workload.kind,
            "setup": report.workload.setup,
            "check": report.workload.check,
            "expect_exit": report.workload.expect_exit,
            "timeout": report.workload.timeout,
            "teardown": report.workload.teardown,
            "fresh": list(report.workload.fresh),
        },
        "posture": {
            "sysctls": report.posture.sysctls,
            "namespaces": {},
            "seccomp": None,
            "mac": None,
        },
        "recordings": [dump_recording(item, catalog) for item in report.recordings],
        "needs": [_need(need, catalog) for need in proposal.needs],
        "proposal": {
            "set": "recommended",
            "cap_drop": ["ALL"],
            "cap_add": [cap.short for cap in caps],
            "recommended": names(caps),
            "floor": None if proposal.floor is None else names(proposal.floor),
        },
        "proof": None if report.proven is None else _proof(report.proven),
    }


def dump_recording(recording: Recording, catalog: Catalog) -> dict[str, Any]:
    """One recording as JSON values."""
    own_mounts = Context.of(recording).own_mounts
    return {
        "host": {
            "kernel": recording.host.kernel,
            "arch": recording.host.arch,
            "last_cap": recording.host.last_cap,
            "observer": recording.host.observer,
            "lsm": list(recording.host.lsm),
        },
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
        "lost": {"signal": recording.lost.signal, "sys_admin": recording.lost.sys_admin},
        "io_uring": recording.io_uring,
        "setid_exec": recording.setid_exec,
        "own_sets": [
            {"program": program, "kept": names(kept)} for program, kept in recording.own_sets
        ],
        "checks": [_check(check, catalog, own_mounts) for check in recording.checks],
        "refusals": [
            {
                "syscall": refusal.syscall,
                "errno": refusal.errno,
                "by": str(refusal.by),
                "program": refusal.program,
                "count": refusal.count,
            }
            for refusal in recording.refusals
        ],
    }


def _check(check: Check, catalog: Catalog, own_mounts: bool) -> dict[str, Any]:
    rule = catalog.sites.match(check.cap, check.site, own_mounts=own_mounts)
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
        "site": list(check.site),
        "program": check.program,
        "pid": check.pid,
        "uid": check.uid,
        "phase": str(check.phase),
        "count": check.count,
        "first": check.first,
    }


def _need(need: Need, catalog: Catalog) -> dict[str, Any]:
    return {
        "cap": need.cap.name,
        "verdict": str(need.verdict),
        "proof": str(need.proof),
        "uncertain": need.uncertain,
        "reason": need.reason,
        "lost_without": need.lost_without,
        "alternatives": [names(caps) for caps in need.alternatives],
        "self_restricting": need.self_restricting,
        "risk": catalog.risk(need.cap),
        "evidence": [judged.check.id for judged in need.evidence],
    }


def _proof(proven: Proven) -> dict[str, Any]:
    return {
        "isolation": proven.isolation,
        "flaky": proven.flaky,
        "complete": proven.complete,
        "recommended": {"sound": proven.recommended_sound},
        "floor": None
        if proven.floor is None
        else {"sound": True, "minimal": proven.complete, "caps": names(proven.floor)},
        "trials": [
            {
                "caps": names(trial.caps),
                "without": None if trial.without is None else trial.without.name,
                "repeat": trial.repeat,
                "passed": trial.passed,
                "seconds": trial.seconds,
                "differences": list(trial.differences),
            }
            for trial in proven.trials
        ],
    }


def save(path: Path, report: Report, catalog: Catalog) -> None:
    """Write the report atomically, for its owner alone: arguments can be secrets.

    Raises BadInput where the place cannot be written to.
    """
    text = json.dumps(dump(report, catalog), indent=1) + "\n"
    try:
        path = path.resolve()  # a link stays a link
        if path.exists() and not path.is_file():
            path.write_text(text, encoding="utf-8")  # /dev/null, a pipe
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        fd, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
        try:
            with os.fdopen(fd, "w", encoding="utf-8") as file:
                file.write(text)
                _give_to_user(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise
    except OSError as error:
        raise BadInput(f"cannot write the report {path}: {error.strerror}") from error


def _give_to_user(fd: int) -> None:
    """Under sudo the report is for the user who called it: the next commands need no root."""
    uid, gid = os.environ.get("SUDO_UID", ""), os.environ.get("SUDO_GID", "")
    if os.geteuid() == 0 and uid.isdecimal() and gid.isdecimal():
        os.fchown(fd, int(uid), int(gid))


def load(path: Path, catalog: Catalog) -> Report:
    """Read a report. Raises BadInput, naming the file and the place, for anything else."""
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise BadInput(f"{path}: {size} bytes are too many for a report")
        raw = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise BadInput(
            f"{path}: not a JSON file: {error}",
            hint="a report is what `capadvise run -o FILE` writes",
        ) from error
    try:
        return _load(raw, catalog)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error
    except KeyError as error:
        raise BadInput(f"{path}: key {error.args[0]!r} is missing") from error
    except (TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        raise BadInput(f"{path}: {error}") from error


def _load(raw: Any, catalog: Catalog) -> Report:
    if not isinstance(raw, Mapping) or raw.get("schema") != SCHEMA:
        said = raw.get("schema") if isinstance(raw, Mapping) else None
        raise BadInput(f"schema {said!r} is not {SCHEMA!r}")
    recordings = tuple(load_recording(item) for item in raw["recordings"])
    if not recordings:
        raise BadInput("it holds no recording")
    target, workload = raw["target"], raw["workload"]
    proposal = decide(recordings[0], catalog)
    proven = None if raw["proof"] is None else _load_proof(raw["proof"])
    return Report(
        target=Target(
            _text(target["kind"]),
            _text(target["name"]),
            tuple(map(_text, target["argv"])),
            _text(target["cwd"]),
            _text(target["user"]),
        ),
        workload=Workload(
            _text(workload["kind"]),
            _optional(workload["setup"], str),
            _optional(workload["check"], str),
            _optional(workload["expect_exit"], int),
            float(workload["timeout"]),
            _optional(workload["teardown"], str),
            tuple(map(_text, workload["fresh"])),
        ),
        posture=Posture({str(k): str(v) for k, v in raw["posture"]["sysctls"].items()}),
        recordings=recordings,
        proposal=proposal if proven is None else conclude(proposal, proven),
        proven=proven,
    )


def _load_proof(raw: Any) -> Proven:
    floor = raw["floor"]
    return Proven(
        isolation=_isolation(raw["isolation"]),
        trials=tuple(
            Trial(
                caps=_caps(item["caps"]),
                passed=bool(item["passed"]),
                seconds=float(item["seconds"]),
                without=None if item["without"] is None else Cap.parse(item["without"]),
                repeat=bool(item["repeat"]),
                differences=tuple(map(_text, item["differences"])),
            )
            for item in raw["trials"]
        ),
        floor=None if floor is None else _caps(floor["caps"]),
        flaky=bool(raw["flaky"]),
        recommended_sound=_optional(raw["recommended"]["sound"], bool),
        complete=bool(raw["complete"]),
    )


def load_recording(raw: Any) -> Recording:
    """The inverse of ``dump_recording``; raises what ``load`` turns into BadInput."""
    host, held, lost = raw["host"], raw["held"], raw["lost"]
    return Recording(
        host=Host(
            _text(host["kernel"]),
            _text(host["arch"]),
            int(host["last_cap"]),
            _text(host["observer"]),
            tuple(map(_text, host["lsm"])),
        ),
        held=Held(_caps(held["bounding"]), _caps(held["permitted"]), _caps(held["ambient"])),
        started=_text(raw["started"]),
        seconds=float(raw["seconds"]),
        exit_status=_optional(raw["exit_status"], int),
        checks=tuple(_load_check(item) for item in raw["checks"]),
        refusals=tuple(
            Refusal(
                _text(item["syscall"]),
                _text(item["errno"]),
                RefusedBy(item["by"]),
                _text(item["program"]),
                int(item["count"]),
            )
            for item in raw["refusals"]
        ),
        lost=Lost(int(lost["signal"]), int(lost["sys_admin"])),
        interrupted=bool(raw["interrupted"]),
        succeeded=_optional(raw["succeeded"], bool),
        io_uring=bool(raw["io_uring"]),
        setid_exec=bool(raw["setid_exec"]),
        own_sets=tuple((_text(item["program"]), _caps(item["kept"])) for item in raw["own_sets"]),
    )


def _load_check(raw: Any) -> Check:
    return Check(
        id=int(raw["id"]),
        cap=Cap.parse(raw["cap"]),
        granted=bool(raw["granted"]),
        ns=Namespace(raw["ns"]),
        site=tuple(map(_text, raw["site"])),
        program=_text(raw["program"]),
        pid=int(raw["pid"]),
        count=int(raw["count"]),
        first=float(raw["first"]),
        syscall=_optional(raw["syscall"], str),
        result=_optional(raw["result"], int),
        args=tuple((_text(name), int(value)) for name, value in raw["args"].items()),
        detail=_optional(raw["detail"], str),
        uid=_optional(raw["uid"], int),
        phase=Phase(raw["phase"]),
    )


def _isolation(value: Any) -> str:
    if value not in ISOLATIONS:
        raise BadInput(f"isolation {value!r:.40} is none of {', '.join(ISOLATIONS)}")
    return str(value)


def _optional(value: Any, kind: type[_T]) -> _T | None:
    if value is not None and type(value) is not kind:
        raise BadInput(f"expected {kind.__name__} or null, found {value!r:.60}")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise BadInput(f"expected a text, found {value!r:.60}")
    return value


def _caps(value: Any) -> CapSet:
    return parse_set(map(_text, value))
