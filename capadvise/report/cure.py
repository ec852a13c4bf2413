"""What to write so that a refused call is let through, in the language of whoever was refused; and
what to do in its place. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from capadvise.judgement.watched import OwnerKind, PathPart, WatchFinding
from capadvise.model.caps import Cap
from capadvise.model.recording import RefusedBy

_NO_CURE = {
    RefusedBy.SECCOMP: "its seccomp filter has to allow {call}",
    RefusedBy.MAC: "its security profile has to allow this",
    RefusedBy.MOUNT: "mount it writable, or write elsewhere",
    RefusedBy.LIMIT: "raise the limit",
}
_INSTEAD = {
    "CHOWN": "chown {where} once, beforehand",
    "FOWNER": "give {where} to {who}",
    "NET_BIND_SERVICE": "listen on a port from 1024 on",
    "SETUID": "start it as that user",
    "SETGID": "start it as that user",
    "SETPCAP": "let whoever starts it set its capabilities",
}
"""What does without the capability, where that fits into a few words; the catalog has the rest."""
_OF_MODES = ("DAC_OVERRIDE", "DAC_READ_SEARCH")
_FILES = {
    PathPart.ITSELF: "give {where} to {who}, or to one of its groups",
    PathPart.ENTRY: "let {who} write to {directory}",
    PathPart.ABOVE: "let {who} search the directories above {where}",
}
_TWO_PATHS = ("link", "symlink", "rename")
"""Beginnings of the names of calls that have two: only the first one is known."""


def cure(finding: WatchFinding) -> str:
    """One line, unescaped."""
    call = finding.call
    if finding.by in _NO_CURE:
        way = _NO_CURE[finding.by].format(call=call.syscall)
        opener = finding.opener
        return f"{way}: its engine's default one does with {opener.name}" if opener else way
    if finding.by is RefusedBy.NAMESPACE:
        return "no capability is a cure in its own user namespace: let the machine do this for it"
    if not finding.caps:
        return "no capability is a cure"
    return "; or ".join(dict.fromkeys(filter(None, _ways(finding, finding.caps[0]))))


def _ways(finding: WatchFinding, cap: Cap) -> Iterator[str]:
    """What to do, the first choice first."""
    instead = _instead(finding, cap)
    if finding.by is RefusedBy.MODE:
        yield instead
        return
    if finding.by is RefusedBy.CAPABILITY and finding.call.gave_up(cap):
        yield f"let the program keep {cap.name}, which it was started with"
    elif finding.call.uid and finding.call.owner.kind is not OwnerKind.UNIT:
        yield from _of_user(finding, cap)
    else:
        yield f'"{_grant(finding, cap)}"'
    yield instead


def _of_user(finding: WatchFinding, cap: Cap) -> Iterator[str]:
    """Who is not root holds nothing of what an engine adds."""
    owner = finding.call.owner
    if owner.kind is OwnerKind.CONTAINER and owner.engine == "podman":
        yield f'"{_grant(finding, cap)}"'
    elif owner.kind in (OwnerKind.CONTAINER, OwnerKind.POD):
        held = "holds" if cap in finding.call.bounding else f'with "{_grant(finding, cap)}" holds'
        yield f"run it as root: uid {finding.call.uid} {held} no capability"
    else:
        yield "run it as root (sudo)"


def _grant(finding: WatchFinding, cap: Cap) -> str:
    """What gives it the capability, as it is written there."""
    owner = finding.call.owner
    if owner.kind is OwnerKind.POD:
        return f"securityContext: {{capabilities: {{add: [{cap.short}]}}}}"
    if owner.kind is OwnerKind.CONTAINER:
        if owner.project:
            return f"cap_add: [{cap.short}]"
        return f"{owner.engine or 'docker'} run --cap-add={cap.short}"
    if owner.kind is OwnerKind.UNIT:
        name = cap.name
        bounding = f"CapabilityBoundingSet={name}"
        if not finding.call.uid:
            return bounding
        ambient = f"AmbientCapabilities={name}"
        return ambient if cap in finding.call.bounding else f"{bounding} and {ambient}"
    return f"start it with {cap.name} in its bounding set"


def _instead(finding: WatchFinding, cap: Cap) -> str:
    text = _FILES[finding.part] if cap.short in _OF_MODES else _INSTEAD.get(cap.short)
    if text is None:
        return f"see: capadvise explain {cap.short}"
    call = finding.call
    where = call.about.split(", ")[0] if call.about.startswith("/") else "the file"
    if where == "the file" and cap.short == "CHOWN":
        where = "the file or volume"
    named = where.startswith("/") and not call.syscall.startswith(_TWO_PATHS)
    directory = str(PurePosixPath(where).parent) if named else "the directory"
    who = f"uid {call.uid}" if call.uid else "root"
    return text.format(where=where, directory=directory, who=who)
