"""What ``watch`` prints: a line for each new finding, and a summary."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from capadvise.judgement.watched import OwnerKind, PathPart, WatchFinding
from capadvise.model.caps import Cap
from capadvise.model.escape import printable
from capadvise.model.recording import RefusedBy
from capadvise.report.cure import cure

_MOST = 20
"""Findings of a summary."""


def finding_line(finding: WatchFinding, note: str | None = None) -> str:
    """Whose call, what it was, what refused it, and the cure."""
    call, owner = finding.call, finding.call.owner
    parts = [
        f"{owner.name} (uid {call.uid})" if owner.kind is OwnerKind.PROGRAM else owner.label,
        called(finding),
        *((f"harmless: {finding.hidden}",) if finding.hidden else (said(finding), cure(finding))),
    ]
    if note:
        parts.append(note)
    return printable(" · ".join(parts))


def called(finding: WatchFinding) -> str:
    """The call and its error, after the program where the owner does not tell which. Hostile."""
    call, owner = finding.call, finding.call.owner
    told = owner.kind is OwnerKind.PROGRAM or call.program == owner.name
    program = "" if told else f"{call.program}: "
    return f"{program}{call.syscall}({call.about}) → {finding.errno}"


def said(finding: WatchFinding) -> str:
    """What refused it, in a few words."""
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
    """What was refused so far, the most frequent first."""
    findings = list(findings)
    shown = [finding for finding in findings if everything or finding.hidden is None]
    harmless = len(findings) - len(shown)
    total = sum(finding.count for finding in shown)
    kinds = f"{len(shown)} finding{'s' * (len(shown) != 1)}"
    yield f"In {seconds:.0f} s: {kinds}, {total} refused call{'s' * (total != 1)}."
    for finding in sorted(shown, key=lambda finding: (-finding.count, finding.number))[:_MOST]:
        yield f"  {finding.count:>8}× {finding_line(finding)}"
    if len(shown) > _MOST:
        yield f"  and {len(shown) - _MOST} more"
    if harmless:
        many = "s" * (harmless != 1)
        yield f"{harmless} harmless kind{many} of refusal not shown; --all shows them."
    if dropped:
        yield f"{dropped} new kinds of refusal came too fast to be read."
