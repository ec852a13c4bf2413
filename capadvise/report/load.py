"""Reading a report file. It is judged again: the recording is the truth, a verdict only a view."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from capadvise.catalog import Catalog
from capadvise.judgement.decide import decide_all
from capadvise.judgement.hardening import LINES, Hardening
from capadvise.judgement.proven import Proven, Trial, conclude
from capadvise.judgement.report import SCHEMA, Report
from capadvise.model.caps import Cap, CapSet, parse_set
from capadvise.model.errors import BadInput
from capadvise.model.recording import (
    AuditDenial,
    Check,
    CheckOption,
    DeniedCheck,
    FileChange,
    ForeignFolder,
    Held,
    Host,
    ImageFile,
    Lost,
    Namespace,
    Origin,
    Phase,
    Recording,
    RefusedBy,
    RefusedCall,
    Retried,
    Told,
)
from capadvise.model.target import Target, is_user
from capadvise.model.workload import Act, Step, Workload
from capadvise.report.posture import load_posture
from capadvise.report.values import optional as _optional
from capadvise.report.values import text as _text
from capadvise.report.values import texts as _texts
from capadvise.report.values import word as _word

MAX_BYTES = 64 << 20
"""A larger file is not a report: evidence is aggregated."""
ISOLATIONS = ("workload", "command", "container", "unit", "none")
_NAMED = 8
"""So many reports of a folder."""
_REPORTS = "a report is what `capadvise run -o FILE` writes"


def load(path: Path, catalog: Catalog) -> Report:
    """Read a report. Raises BadInput, naming the file and the place, for anything else."""
    try:
        with path.open("rb") as file:  # /dev/zero has no size
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise BadInput(f"{path}: larger than {MAX_BYTES >> 20} MiB: too large for a report")
        raw = json.loads(data.decode())
    except IsADirectoryError as error:
        raise BadInput(f"{path}: a folder", hint=_inside(path)) from error
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise BadInput(
            f"{path}: not a JSON file: {error}",
            hint=_REPORTS,
        ) from error
    return loaded(raw, str(path), catalog)


def _inside(folder: Path) -> str:
    """A recording of several services is a folder of reports."""
    inside = sorted(map(str, islice(folder.glob("*.json"), _NAMED)))
    return f"name a report in it: {', '.join(inside)}" if inside else _REPORTS


def loaded(raw: Any, name: str, catalog: Catalog) -> Report:
    """A report from its JSON values. Raises BadInput with ``name`` and the place."""
    try:
        return _load(raw, catalog)
    except BadInput as error:
        raise BadInput(f"{name}: {error}", hint=error.hint) from error
    except KeyError as error:
        raise BadInput(f"{name}: key {error.args[0]!r} is missing") from error
    except (TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        raise BadInput(f"{name}: {error}") from error


def _load(raw: Any, catalog: Catalog) -> Report:
    said = raw.get("schema") if isinstance(raw, Mapping) else None
    if said is None:
        raise BadInput("not a report", hint=_REPORTS)
    if said != SCHEMA:
        raise BadInput(f"schema {said!r} is not {SCHEMA!r}")
    recordings = tuple(load_recording(item) for item in raw["recordings"])
    if not recordings:
        raise BadInput("it contains no recording")
    target, workload = raw["target"], raw["workload"]
    proposal = decide_all(recordings, catalog)
    proven = None if raw["proof"] is None else _load_proof(raw["proof"])
    return Report(
        target=Target(
            _text(target["kind"]),
            _text(target["name"]),
            _texts(target["argv"]),
            _text(target["cwd"]),
            _user(target["user"]),
            image=_optional(target["image"], str),
            engine=_optional(target["engine"], str),
            container=_optional(target["container"], str),
            service=_optional(target["service"], str),
            pod=_optional(target["pod"], str),
            privileged=_optional(target.get("privileged"), bool),
            owner=_optional(target.get("owner"), str),
            replicas=_optional(target.get("replicas"), int),
        ),
        workload=Workload(
            kind=_text(workload["kind"]),
            setup=_optional(workload["setup"], str),
            check=_optional(workload["check"], str),
            expect_exit=_optional(workload["expect_exit"], int),
            timeout=float(workload["timeout"]),
            teardown=_optional(workload["teardown"], str),
            fresh=_texts(workload["fresh"]),
            check_after=float(workload.get("check_after") or 0),
            steps=_steps(workload.get("steps")),
        ),
        posture=load_posture(raw["posture"]),
        recordings=recordings,
        proposal=proposal if proven is None else conclude(proposal, proven),
        proven=proven,
    )


def _user(raw: Any) -> str:
    if (user := _text(raw)) and not is_user(user):
        raise BadInput(f"the user {user!r:.60} is not of the form uid:gid")
    return user


def _steps(raw: Any) -> tuple[Step, ...] | None:
    if raw is None:
        return None
    return tuple(Step(Act(item["do"]), _optional(item["with"], str)) for item in raw)


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
                differences=_texts(item["differences"]),
                failed_at=_optional(item.get("failed_at"), str),
                instead=_texts(item.get("instead", [])),
            )
            for item in raw["trials"]
        ),
        floor=None if floor is None else _caps(floor["caps"]),
        flaky=bool(raw["flaky"]),
        recommended_sound=_optional(raw["recommended"]["sound"], bool),
        complete=bool(raw["complete"]),
        untried=_caps(raw.get("untried", [])),
        cautions=_texts(raw.get("cautions", [])),
        logs=_texts(raw.get("logs", [])),
        user_namespace=bool(raw.get("user_namespace", False)),
        leaves_nothing=bool(raw.get("leaves_nothing", False)),
        hardening=_load_hardening(raw.get("hardening")),
    )


def _load_hardening(raw: Any) -> Hardening | None:
    if raw is None:
        return None
    lines, exposure = _texts(raw["options"]), raw["exposure"]
    if unknown := sorted(set(lines) - set(LINES)):  # they go into files as they are
        raise BadInput(f"option {unknown[0]!r:.60} is none that is tried")
    return Hardening(
        caps=_caps(raw["caps"]),
        lines=lines,
        left_out=tuple((_text(one["option"]), _text(one["why"])) for one in raw["left_out"]),
        trials=int(raw["trials"]),
        exposure=exposure and (_text(exposure["before"]), _text(exposure["after"])),
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
            _texts(host["lsm"]),
        ),
        held=Held(_caps(held["bounding"]), _caps(held["permitted"]), _caps(held["ambient"])),
        started=_text(raw["started"]),
        seconds=float(raw["seconds"]),
        exit_status=_optional(raw["exit_status"], int),
        checks=tuple(_load_check(item) for item in raw["checks"]),
        refused_calls=_refused_calls(raw),
        audit=tuple(map(_audit_denial, raw.get("audit", []))),
        lost=Lost(*(int(lost.get(key, 0)) for key in ("signal", "sys_admin", "lookups"))),
        interrupted=bool(raw["interrupted"]),
        succeeded=_optional(raw["succeeded"], bool),
        image_files=tuple(
            ImageFile(
                _text(item["path"]),
                int(item["layer"]),
                FileChange(item["change"]),
                _text(item["owner"]),
                _text(item["became"]),
            )
            for item in raw["image_files"]
        ),
        foreign_folders=tuple(
            ForeignFolder(*(_text(item[key]) for key in ("path", "source", "owner", "user")))
            for item in raw.get("foreign_folders", [])
        ),
        attached=bool(raw["attached"]),
        restarted=bool(raw.get("restarted", False)),
        io_uring=bool(raw["io_uring"]),
        setid_exec=bool(raw["setid_exec"]),
        proc_scanners=_scanners(raw.get("proc_scanners")),
        access_time_keepers=frozenset(_texts(raw.get("access_time_keepers", []))),
        isolators=frozenset(_texts(raw.get("isolators", []))),
        imports=frozenset(
            (_text(item["program"]), _text(item["function"])) for item in raw.get("imports", ())
        ),
        fixed_capsets=tuple(
            (_text(item["program"]), _caps(item["kept"])) for item in raw["own_sets"]
        ),
        still_running=frozenset(_texts(raw.get("still_running", []))),
        cautions=_texts(raw["cautions"]),
        started_containers=bool(raw.get("started_containers")),
        start=int(raw.get("start", 1)),
        pod=_optional(raw.get("pod"), str),
        program=_text(raw.get("program", "")),
    )


def _scanners(raw: Any) -> frozenset[str] | None:
    return None if raw is None else frozenset(_texts(raw))


def _load_check(raw: Any) -> Check:
    site = tuple(map(_word, _texts(raw["site"])))
    # Older reports tell of the origin by the site alone; newer ones by both, for older readers.
    origin = Origin(raw.get("origin", site[0] if site[:1] in _STAND_INS else Origin.KERNEL))
    return Check(
        id=int(raw["id"]),
        cap=Cap.parse(raw["cap"]),
        granted=bool(raw["granted"]),
        ns=Namespace(raw["ns"]),
        site=site if origin is Origin.KERNEL else (),
        origin=origin,
        program=_text(raw["program"]),
        pid=int(raw["pid"]),
        count=int(raw["count"]),
        first=float(raw["first"]),
        syscall=None if raw["syscall"] is None else _word(raw["syscall"]),
        result=_optional(raw["result"], int),
        args=tuple((_text(name), int(value)) for name, value in raw["args"].items()),
        detail=_optional(raw["detail"], str),
        uid=_optional(raw["uid"], int),
        phase=Phase(raw["phase"]),
        retried=None if raw["retried"] is None else Retried(raw["retried"]),
        without=None if raw["without"] is None else _word(raw["without"]),
        together=tuple(sorted(_caps(raw["together"]))),
        options=None if raw["options"] is None else tuple(map(CheckOption, raw["options"])),
    )


_STAND_INS = [(str(origin),) for origin in Origin if origin is not Origin.KERNEL]


def _isolation(value: Any) -> str:
    if value not in ISOLATIONS:
        raise BadInput(f"isolation {value!r:.40} is none of {', '.join(ISOLATIONS)}")
    return str(value)


def _caps(value: Any) -> CapSet:
    return parse_set(map(_text, value))


def _refused_calls(raw: Any) -> tuple[RefusedCall, ...]:
    """As they were seen; of an older report, which keeps the judgement alone, as that says."""
    if "refused_calls" in raw:
        return tuple(map(_refused_call, raw["refused_calls"]))
    return tuple(
        RefusedCall(
            *(_word(item["syscall"]), _word(item["errno"]), _text(item["program"])),
            count=int(item["count"]),
            told=_told(item),
        )
        for item in raw["refusals"]
    )


def _audit_denial(raw: Any) -> AuditDenial:
    """What the audit told."""
    return AuditDenial(
        syscall=_word(raw["syscall"]),
        errno=_word(raw["errno"]),
        program=_text(raw["program"]),
        by=RefusedBy(raw["by"]),
        evidence=_text(raw["evidence"]),
        of_a_call=bool(raw["of_a_call"]),
        count=int(raw["count"]),
    )


def _refused_call(raw: Any) -> RefusedCall:
    return RefusedCall(
        syscall=_word(raw["syscall"]),
        errno=_word(raw["errno"]),
        program=_text(raw["program"]),
        count=int(raw["count"]),
        uid=_optional(raw["uid"], int),
        entered=_optional(raw["entered"], bool),
        denied=tuple(
            DeniedCheck(Cap.parse(item["cap"]), _texts(item["site"]), Namespace(item["ns"]))
            for item in raw["denied"]
        ),
        own_namespace=bool(raw["own_namespace"]),
        told=None if raw["told"] is None else _told(raw["told"]),
    )


def _told(raw: Any) -> Told:
    return Told(RefusedBy(raw["by"]), _text(raw["evidence"]))
