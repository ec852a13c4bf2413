"""Reading a report file. It is judged again: the recording is the truth, a verdict only a view."""

import json
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from capadvise.catalog import Catalog
from capadvise.judgement.decide import decide_all
from capadvise.judgement.hardening import LINES, Hardening
from capadvise.judgement.opening import Opening
from capadvise.judgement.proven import Proven, conclude
from capadvise.judgement.report import SCHEMA, Report
from capadvise.model.caps import Cap, CapSet, parse_set
from capadvise.model.errors import BadInput
from capadvise.model.escape import printable
from capadvise.model.from_json import expect, value_of
from capadvise.model.input_file import content
from capadvise.model.posture import Posture
from capadvise.model.recording import AuditDenial, Check, Origin, Recording, RefusedCall, Told
from capadvise.model.seccomp_profile import OpenedCall, SeccompProfile
from capadvise.model.target import Target, is_user
from capadvise.model.workload import Act, Step, Workload
from capadvise.report import version_1

MAX_BYTES = 64 << 20
"""A larger file is not a report: evidence is aggregated."""
ISOLATIONS = ("workload", "command", "container", "unit", "none")
_NAMED = 8
"""The most reports of a folder that a hint names."""
_REPORTS = "a report is what `capadvise run -o FILE` writes"

_T = TypeVar("_T")
_R = TypeVar("_R", RefusedCall, AuditDenial)


def load(path: Path, catalog: Catalog, *, named: bool = True) -> Report:
    """Read a report. ``named``: by the user, so it may be a pipe. Raises BadInput, naming the file
    and the place, for anything else."""
    try:
        data = content(path, MAX_BYTES, pipes=named)
    except IsADirectoryError as error:
        raise BadInput(f"{path}: a folder", hint=_inside(path)) from error
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from error
    return parsed(data, path, catalog)


def parsed(data: bytes, path: Path, catalog: Catalog) -> Report:
    """A report from the bytes of its file. Raises as ``load`` does."""
    try:
        raw = json.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path}: not a JSON file: {error}", hint=_REPORTS) from error
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
    if said == version_1.SCHEMA:
        raw = version_1.upgraded(raw)
    elif said != SCHEMA:
        raise BadInput(f"schema {said!r} is not {SCHEMA!r}")
    recordings = tuple(load_recording(item) for item in raw["recordings"])
    if not recordings:
        raise BadInput("it contains no recording")
    workload, target = raw["workload"], value_of(Target, raw["target"])
    if target.user and not is_user(target.user):
        raise BadInput(f"the user {target.user!r:.60} is not of the form uid:gid")
    proposal = decide_all(recordings, catalog)
    proven = None if raw["proof"] is None else _load_proof(raw["proof"])
    return Report(
        target=target,
        workload=value_of(Workload, workload, {"steps": _steps(workload.get("steps"))}),
        posture=value_of(Posture, raw["posture"]),
        recordings=recordings,
        proposal=proposal if proven is None else conclude(proposal, proven),
        proven=proven,
    )


def _steps(raw: Any) -> tuple[Step, ...] | None:
    if raw is None:
        return None
    return tuple(Step(Act(item["do"]), _optional(item["with"], str)) for item in raw)


def _load_proof(raw: Any) -> Proven:
    minimal = raw["minimal"]
    if raw["isolation"] not in ISOLATIONS:
        isolations = ", ".join(ISOLATIONS)
        raise BadInput(f"isolation {raw['isolation']!r:.40} is none of {isolations}")
    own = {
        "minimal": None if minimal is None else _caps(minimal["caps"]),
        "recommended_sound": _optional(raw["recommended"]["sound"], bool),
        "hardening": _load_hardening(raw.get("hardening")),
        "opening": _load_opening(raw.get("opening")),
    }
    return value_of(Proven, raw, own)


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


def _load_opening(raw: Any) -> Opening | None:
    if raw is None:
        return None
    profile, forbidden = raw["profile"], _text(raw["forbidden"])
    own = {
        "calls": tuple(map(OpenedCall.parse, _texts(raw["calls"]))),  # they go into files
        "profile": None if profile is None else SeccompProfile.parse(profile),
        "needed": tuple((_text(one["member"]), _text(one["why"])) for one in raw["needed"]),
    }
    if (profile is None) != bool(forbidden):
        raise BadInput("its opening has a profile and a use that forbids it, or neither")
    return value_of(Opening, raw, own)


def load_recording(raw: Any) -> Recording:
    """The inverse of ``dump_recording``; raises what ``load`` turns into BadInput."""
    imports = raw.get("imports", ())
    own = {
        "checks": tuple(map(_load_check, raw["checks"])),
        "refused_calls": _refused_calls(raw),
        "audit": tuple(_refusal(AuditDenial, item) for item in raw.get("audit", [])),
        "imports": frozenset((_text(one["program"]), _text(one["function"])) for one in imports),
        "fixed_capsets": tuple(
            (_text(x["program"]), _caps(x["kept"])) for x in raw["fixed_capsets"]
        ),
        "own_set_readers": tuple(
            (_text(x["program"]), _caps(x["caps"])) for x in raw.get("own_set_readers", ())
        ),
        "started_containers": bool(raw.get("started_containers")),
    }
    recording = value_of(Recording, raw, own)
    Cap(recording.host.last_cap)  # or raises: it bounds loops over capabilities
    return recording


def _load_check(raw: Any) -> Check:
    site = tuple(map(_word, _texts(raw["site"])))
    # Older reports tell of the origin by the site alone; newer ones by both, for older readers.
    origin = Origin(raw.get("origin", site[0] if site[:1] in _STAND_INS else Origin.KERNEL))
    own = {
        "site": site if origin is Origin.KERNEL else (),
        "origin": origin,
        "args": tuple((_text(name), int(value)) for name, value in raw["args"].items()),
        "together": tuple(sorted(_caps(raw["together"]))),
    }
    check = value_of(Check, raw, own)
    for name in filter(None, (check.syscall, check.without)):
        _word(name)
    return check


_STAND_INS = [(str(origin),) for origin in Origin if origin is not Origin.KERNEL]


def _caps(value: Any) -> CapSet:
    return parse_set(map(_text, value))


def _refused_calls(raw: Any) -> tuple[RefusedCall, ...]:
    """The refused calls; an older report only keeps the judgement on them."""
    if "refused_calls" in raw:
        return tuple(_refusal(RefusedCall, item) for item in raw["refused_calls"])
    return tuple(
        RefusedCall(
            *(_word(item["syscall"]), _word(item["errno"]), _text(item["program"])),
            count=int(item["count"]),
            told=value_of(Told, item),
        )
        for item in raw["refusals"]
    )


def _refusal(kind: type[_R], raw: Any) -> _R:
    refusal = value_of(kind, raw)
    for name in (refusal.syscall, refusal.errno):
        _word(name)
    return refusal


def _optional(value: Any, kind: type[_T]) -> _T | None:
    if value is not None and type(value) is not kind:
        raise BadInput(f"expected {kind.__name__} or null, found {value!r:.60}")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise BadInput(f"expected a text, found {value!r:.60}")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(map(_text, expect(list, value)))


def _word(value: Any) -> str:
    """A name that the kernel gave. It is shown as it is: no program can choose it, but whoever
    writes a report file can."""
    name = _text(value)
    if printable(name) != name:
        raise BadInput(f"{name!r:.60} is no name of a call, of a function or of an error")
    return name
