"""The output of ``watch``: a line or a JSON object for each new finding, with a cure; a summary;
and counters for Prometheus."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from capadvise.catalog import default
from capadvise.judgement.harm import CONTAINER, HOST, Harm, grant_harm, owner_of_path, sayable
from capadvise.judgement.watched import OwnerKind, PathPart, WatchedCall, WatchFinding
from capadvise.model.caps import Cap
from capadvise.model.escape import printable
from capadvise.model.recording import RefusedBy
from capadvise.model.wording import counted
from capadvise.report.dump import part

_MOST = 20
"""Findings of a summary."""


def finding_line(finding: WatchFinding, note: str | None = None) -> str:
    """The owner of the call, the call, the mechanism that refused it, and the cure."""
    parts = list(_seen(finding))
    if not finding.hidden:
        parts.append(cure(finding))
    if note:
        parts.append(note)
    return printable(" · ".join(parts))


def _seen(finding: WatchFinding) -> Iterator[str]:
    """The owner, the call, and the mechanism that refused it. Hostile."""
    call, owner = finding.call, finding.call.owner
    yield f"{owner.name} (uid {call.uid})" if owner.kind is OwnerKind.PROGRAM else owner.label
    yield call_text(finding)
    yield f"harmless: {finding.hidden}" if finding.hidden else refuser_text(finding)


def call_text(finding: WatchFinding) -> str:
    """The call and its error, after the program where the owner does not tell which. Hostile."""
    call, owner = finding.call, finding.call.owner
    told = owner.kind is OwnerKind.PROGRAM or call.program == owner.name
    program = "" if told else f"{call.program}: "
    return f"{program}{call.syscall}({call.about}) → {finding.errno}"


def refuser_text(finding: WatchFinding) -> str:
    """The mechanism that refused it, in a few words."""
    match finding.by:
        case RefusedBy.SECCOMP:
            alone = "" if finding.opener else ", a capability alone is no cure"
            return f"seccomp refused it{alone}"
        case RefusedBy.MAC:
            return finding.evidence
        case RefusedBy.MODE:
            what = "file" if finding.part is PathPart.ITSELF else "directory"
            return f"not its {what}: mode and owner refuse uid {finding.call.uid}"
        case RefusedBy.MOUNT:
            return "the file system is mounted read-only"
        case RefusedBy.LIMIT:
            return f"a limit: {finding.evidence}"
        case RefusedBy.NAMESPACE:
            return f"{_names(finding.caps)} was checked against the machine's user namespace"
    if not finding.caps:
        return finding.evidence
    if any(map(finding.call.gave_up, finding.caps)):
        return f"gave up {_names(finding.caps)} itself"
    return f"lacks {_names(finding.caps)}"


def _names(caps: Iterable[Cap]) -> str:
    return " or ".join(cap.name for cap in caps)


def summary_lines(
    findings: Iterable[WatchFinding], seconds: float, *, dropped: int, everything: bool
) -> Iterator[str]:
    """The refusals so far, the most frequent first, without the remediations printed before."""
    findings = list(findings)
    shown = [finding for finding in findings if everything or finding.hidden is None]
    harmless = len(findings) - len(shown)
    total = sum(finding.count for finding in shown)
    kinds, calls = counted(len(shown), "finding"), counted(total, "refused call")
    yield f"In {seconds:.0f} s: {kinds}, {calls}."
    for finding in sorted(shown, key=lambda finding: (-finding.count, finding.number))[:_MOST]:
        yield f"  {finding.count:>8}× {printable(' · '.join(_seen(finding)))}"
    if len(shown) > _MOST:
        yield f"  and {len(shown) - _MOST} more"
    if harmless:
        kinds = counted(harmless, "harmless kind")
        yield f"{kinds} of refusal not shown; --all shows them."
    if dropped:
        yield f"{dropped} new kinds of refusal came too fast to be read."


_TABLE = json.loads(Path(__file__).with_name("cures.json").read_text(encoding="utf-8"))
_NO_CURE, _FILES = _TABLE["refused by"], _TABLE["modes"]
_INSTEAD, _OF_FILES = _TABLE["instead"], _TABLE["files"]
"""Ways without a capability, if they fit into a few words; the catalog has the others."""
_OF_MODES = ("DAC_OVERRIDE", "DAC_READ_SEARCH")
_TWO_PATHS = ("link", "symlink", "rename")
"""Beginnings of the names of calls that have two: only the first one is known."""
_NOBODY = 65534


def cure(finding: WatchFinding) -> str:
    """One line, unescaped. ``sayable`` decides what is said, and in which order."""
    if finding.by in _NO_CURE:
        way = _NO_CURE[finding.by].format(call=finding.call.syscall)
        return f"{way}{_opened_by(finding.opener)}" if finding.opener else way
    if finding.by is RefusedBy.MOUNT:
        owner = _where(finding)[1]
        mounted = "; or mount it writable, if it holds data of its own" if owner is None else ""
        return f"write elsewhere{mounted}"
    if finding.by is RefusedBy.NAMESPACE:
        return "no capability is a cure in its own user namespace: let the machine do this for it"
    if not finding.caps:
        return "no capability is a cure"
    cap = finding.caps[0]
    said = "; or ".join(dict.fromkeys(sayable(_ways(finding, cap))))
    if finding.by is RefusedBy.MODE or not _cannot_be_given(finding):
        return said
    return f"{said}. Adding the capability is no cure: uid {finding.call.uid} would not hold it"


def _opened_by(opener: Cap) -> str:
    harm = grant_harm(opener, CONTAINER, default(), root=True)
    more = f" ({harm.opens})" if harm else ""
    return f"{more}: its engine's default one does with {opener.name}"


def _ways(finding: WatchFinding, cap: Cap) -> Iterator[tuple[str, Harm | None]]:
    """The remediations, each with what it opens."""
    call, way = finding.call, (_instead(finding, cap), None)
    if finding.by is RefusedBy.MODE or _cannot_be_given(finding) or _takes_system_files(finding):
        yield way
        return
    place = CONTAINER if call.owner.kind in _CONTAINERS else HOST
    harm = grant_harm(cap, place, default(), root=call.uid == 0)
    if finding.by is RefusedBy.CAPABILITY and call.gave_up(cap):
        yield f"let the program keep {cap.name}, which it was started with", harm
    elif call.uid and call.owner.kind in (OwnerKind.USER, OwnerKind.PROGRAM):
        yield way
        yield f'start it as a unit with its User= and "AmbientCapabilities={cap.name}"', harm
        return
    else:
        yield _grant(finding, cap), harm
    yield way


def _takes_system_files(finding: WatchFinding) -> bool:
    """True if a user other than root would have it for a file that is not its own to change."""
    of_files = {*_OF_MODES, *_OF_FILES}.intersection(cap.short for cap in finding.caps)
    return bool(finding.call.uid and of_files) and _where(finding)[1] is not None


_CONTAINERS = (OwnerKind.CONTAINER, OwnerKind.POD)


def _cannot_be_given(finding: WatchFinding) -> bool:
    """True for a user other than root in a container, who holds nothing of what an engine adds;
    podman raises it in the ambient set."""
    call = finding.call
    return call.uid != 0 and call.owner.kind in _CONTAINERS and call.owner.engine != "podman"


def _grant(finding: WatchFinding, cap: Cap) -> str:
    """The setting that gives it the capability, as it is written there."""
    owner = finding.call.owner
    if owner.kind is OwnerKind.POD:
        return f'"securityContext: {{capabilities: {{add: [{cap.short}]}}}}"'
    if owner.kind is OwnerKind.CONTAINER:
        if owner.project:
            return f'"cap_add: [{cap.short}]"'
        return f'"{owner.engine or "docker"} run --cap-add={cap.short}"'
    name = cap.name
    if owner.kind is OwnerKind.UNIT:
        bounding = f"CapabilityBoundingSet={name}"
        if not finding.call.uid:
            return f'"{bounding}"'
        ambient = f"AmbientCapabilities={name}"
        return f'"{ambient if cap in finding.call.bounding else f"{bounding} and {ambient}"}"'
    return f'"start it with {name} in its bounding set"'


def _instead(finding: WatchFinding, cap: Cap) -> str:
    """A way without the capability. It gives away no file of the system or of another user."""
    call = finding.call
    of_mode = cap.short in _OF_MODES
    text = _FILES[finding.part] if of_mode else _OF_FILES.get(cap.short)
    if text is None:
        text = _INSTEAD.get(cap.short)
        ids = re.findall(r"\d+", call.about)
        if cap.short in ("SETUID", "SETGID") and ("0" in ids or not ids):
            text = None  # that user can be root
        return text or f"see: capadvise explain {cap.short}"
    where, owner = _where(finding)
    if owner is not None:
        return f"leave {where} as it is, which belongs to {owner}: let it use files of its own"
    if of_mode and not call.uid:
        return _given(
            "start it as the user who owns {directory}"
            if finding.part is PathPart.ENTRY
            else "start it as the user who owns {where}",
            where,
            call,
        )
    if call.uid == _NOBODY and cap.short != "CHOWN":
        return f"run it as a user of its own, and not as nobody: then {_given(text, where, call)}"
    return _given(text, where, call)


def _where(finding: WatchFinding) -> tuple[str, str | None]:
    """The file of a call, and whose it is, where it must be given to nobody else."""
    call = finding.call
    if not call.about.startswith("/"):
        return "the file", None
    where = call.about.split(", ")[0]
    owner = owner_of_path(where)
    if owner is None and finding.part is PathPart.ENTRY:
        owner = owner_of_path(str(PurePosixPath(where).parent))
    return where, owner


def _given(text: str, where: str, call: WatchedCall) -> str:
    known = where.startswith("/")
    named = known and not call.syscall.startswith(_TWO_PATHS)
    directory = str(PurePosixPath(where).parent) if named else "the directory"
    who = "root" if call.uid == 0 else "that user" if call.uid == _NOBODY else f"uid {call.uid}"
    condition = ", if it holds data of its own" if not named else ""
    said = text.format(where=where, directory=directory, who=who)
    return f"{said}{condition}"


SCHEMA = "capadvise.watch/1"
_WARNING, _INFO = 4, 6
"""Levels of syslog(3)."""


def finding_json(finding: WatchFinding, time: str, against: str | None = None) -> str:
    """A line for a new finding."""
    return _json_line(
        "refusal", time, finding_line(finding, against), _finding_fields(finding, against)
    )


def summary_json(
    findings: Iterable[WatchFinding], seconds: float, time: str, *, dropped: int
) -> Iterable[str]:
    """A line for each finding with its count so far, and one for all."""
    findings = list(findings)
    for finding in findings:
        yield _json_line("count", time, finding_line(finding), _finding_fields(finding, None))
    first = next(summary_lines(findings, seconds, dropped=dropped, everything=False))
    more = {"seconds": round(seconds, 1), "findings": len(findings), "dropped": dropped}
    yield _json_line("summary", time, first, more)


def _finding_fields(finding: WatchFinding, against: str | None) -> dict[str, Any]:
    call, owner = finding.call, finding.call.owner
    return {
        "owner": owner.name,
        "owner_kind": str(owner.kind),
        **part(owner, "engine", "project", "pod", "container"),
        **part(call, "program", "pid", "uid", "syscall", "about"),
        **part(finding, "errno", "by", "caps", "evidence"),
        "cure": None if finding.hidden else cure(finding),
        "harmless": finding.hidden,
        "against": against,
        "number": finding.number,
        "count": max(1, finding.count),
    }


def _json_line(event: str, time: str, message: str, fields: dict[str, Any]) -> str:
    refused = event == "refusal" and not fields["harmless"]
    head = {
        "schema": SCHEMA,
        "event": event,
        "time": time,
        "PRIORITY": _WARNING if refused else _INFO,
        "MESSAGE": message,
    }
    return json.dumps(head | fields, ensure_ascii=True)


_MOST_ROWS = 500
"""Rows; further ones are counted together, with ``other`` in the place of the owner's name."""
_LONGEST = 80
_OTHER = ("other", "other", "", "")
_HEAD, _DROPPED = map(str, _TABLE["prometheus"])


def metrics(findings: Iterable[WatchFinding], dropped: int) -> str:
    """The text of the file."""
    counts: Counter[tuple[str, str, str, str]] = Counter()
    for finding in findings:
        if finding.hidden is None:
            owner = finding.call.owner
            cap = finding.caps[0].name if finding.caps else ""
            row = owner.label[:_LONGEST], str(owner.kind), cap, str(finding.by)
            counts[row if row in counts or len(counts) < _MOST_ROWS else _OTHER] += finding.count
    rows = (
        f'capadvise_refused_calls_total{{owner="{_label(owner)}",kind="{kind}",'
        f'capability="{cap}",by="{by}"}} {count}\n'
        for (owner, kind, cap, by), count in sorted(counts.items())
    )
    return _HEAD + "".join(rows) + _DROPPED.format(dropped)


def _label(text: str) -> str:
    """A value between quotes (the exposition format escapes three characters)."""
    return printable(text).replace("\\", "\\\\").replace('"', '\\"')
