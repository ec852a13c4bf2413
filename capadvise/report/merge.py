"""Several reports of one target as one: all their recordings, judged together. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from capadvise.catalog import Catalog
from capadvise.judgement.decide import decide_all
from capadvise.judgement.proven import conclude
from capadvise.judgement.report import Report
from capadvise.model.caps import Cap, CapSet
from capadvise.model.errors import BadInput
from capadvise.model.posture import Cgroup, Posture
from capadvise.model.recording import Recording
from capadvise.model.target import Target
from capadvise.model.wording import set_text

_VARIES = frozenset(
    {"argv", "cwd", "engine", "container", "pod", "privileged", "granted", "replicas"}
)
"""Fields that differ between two runs of one target."""


@dataclass(frozen=True, slots=True)
class Merged:
    """The one report, and what must be said of it."""

    report: Report
    notes: tuple[str, ...]


def merge(
    named: Sequence[tuple[str, Report]], catalog: Catalog, *, name: str | None = None
) -> Merged:
    """The union of reports, each with the name that messages call it by. ``name`` says that they
    are of one target though their targets differ, and names it.

    Raises BadInput where the targets differ and nobody said so.
    """
    first = named[0][1]
    notes: list[str] = []
    if name is None:
        _same_target(named)
    target = _target([report.target for _, report in named], name)
    recordings = numbered(item for _, report in named for item in report.recordings)
    if len({report.target.argv for _, report in named}) > 1:
        notes.append(f"the command lines differ: `prove` uses the one of {named[0][0]}")
    posture, lost = _common([report.posture for _, report in named])
    if lost:
        notes.append(f"these settings differ between the runs: {', '.join(lost)}")
    plain = Report(
        target, first.workload, posture, recordings, decide_all(recordings, catalog), None
    )
    report = _with_proof(plain, named, catalog, notes)
    if any(other.workload != report.workload for _, other in named):
        owner = next(path for path, other in named if other.workload == report.workload)
        notes.append(f"the health checks differ: the merged report keeps the one of {owner}")
    return Merged(report, tuple(notes))


def _target(targets: Sequence[Target], name: str | None) -> Target:
    """The target of the merged report: it is granted what any of the runs was."""
    target, granted = targets[0], [one.granted for one in targets if one.granted is not None]
    return replace(
        target,
        name=target.name if name is None else name,
        privileged=True if any(one.privileged for one in targets) else target.privileged,
        granted=frozenset[Cap]().union(*granted) if granted else None,
    )


def _same_target(named: Sequence[tuple[str, Report]]) -> None:
    path, first = named[0]
    for other, report in named[1:]:
        for field in fields(Target):
            one, two = (getattr(each.target, field.name) for each in (first, report))
            if field.name not in _VARIES and one != two:
                raise BadInput(
                    f"{path} and {other} are of different targets: {field.name} {one} and {two}",
                    hint="if they are runs of the same service, name it: --as NAME",
                )


def _plain(recording: Recording) -> Recording:
    """The recording with its checks numbered from 1, to be compared."""
    numbered = (replace(check, id=number) for number, check in enumerate(recording.checks, 1))
    return replace(recording, checks=tuple(numbered))


def numbered(recordings: Iterable[Recording]) -> tuple[Recording, ...]:
    """Each recording once, in order; the numbers of the checks are unique in the whole."""
    renumbered, used = [], 0
    for recording in dict.fromkeys(map(_plain, recordings)):
        checks = tuple(replace(check, id=used + check.id) for check in recording.checks)
        renumbered.append(replace(recording, checks=checks))
        used += len(checks)
    return tuple(renumbered)


def _common(postures: Sequence[Posture]) -> tuple[Posture, list[str]]:
    """The settings that all places share, and the names of the others. Each container has a cgroup
    path of its own: that is no difference."""
    first = postures[0]
    lost: list[str] = []
    shared: dict[str, Any] = {}
    for field in fields(Posture):
        each = [getattr(posture, field.name) for posture in postures]
        if isinstance(each[0], dict):
            names = sorted({name for values in each for name in values})
            vary = [name for name in names if len({values.get(name) for values in each}) > 1]
            shared[field.name] = {k: v for k, v in each[0].items() if k not in vary}
            lost += vary if field.name == "sysctls" else [f"{name} namespace" for name in vary]
        elif any(_without_path(value) != _without_path(each[0]) for value in each):
            shared[field.name] = None
            lost.append(field.name)
    return replace(first, **shared), lost


def _without_path(value: object) -> object:
    return replace(value, path="") if isinstance(value, Cgroup) else value


def _with_proof(
    plain: Report, named: Sequence[tuple[str, Report]], catalog: Catalog, notes: list[str]
) -> Report:
    """The merged report with the first proof that still holds, and its workload.

    A proof is about a set. It still holds if the other runs show no need beyond that set, and the
    merged report recommends the same set.
    """
    kept: Report | None = None
    for path, report in named:
        if report.proven is None:
            continue
        beyond = _others(plain, report, catalog) - report.proposal.recommended
        proposal = conclude(plain.proposal, report.proven)
        if beyond or proposal.recommended != report.proposal.recommended:
            why = f"other runs need {set_text(beyond)}"
            notes.append(
                f"the proof of {path} no longer holds and is left out: "
                + (why if beyond else "the combined runs need a different set")
            )
        elif kept is None:
            kept = replace(plain, workload=report.workload, proposal=proposal, proven=report.proven)
        elif report.proven != kept.proven:
            notes.append(f"the proof of {path} is left out: one proof is enough")
    return plain if kept is None else kept


def _others(plain: Report, report: Report, catalog: Catalog) -> CapSet:
    """The needs of the recordings that are not a report's own."""
    own = set(map(_plain, report.recordings))
    return decide_all(
        [item for item in plain.recordings if _plain(item) not in own], catalog
    ).recommended
