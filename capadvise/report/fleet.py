"""A workload's reports as one for each container and image, and what they cover. Pure."""

import re
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import replace

from capadvise.catalog import Catalog
from capadvise.judgement.conclusion import ADDS_ONLY, Standing, standing_of
from capadvise.judgement.decide import Need
from capadvise.judgement.judge import Effect
from capadvise.judgement.report import Report
from capadvise.model.wording import counted, set_text
from capadvise.report.merge import Merged, merge


def merged(
    reports: Iterable[Report],
    owner: str,
    pods: Mapping[str, Mapping[str, str]],
    present: Set[str],
    catalog: Catalog,
) -> list[Merged]:
    """One for each container, image and user. ``pods``: the workload's, and of each the digests of
    its containers' images, as far as known; recordings of other pods are left out. ``present``:
    those that were there at the end, the replicas."""
    groups: dict[tuple[str, str, str], list[Report]] = {}
    replicas = {pod: digests for pod, digests in pods.items() if pod in present}
    for report in reports:
        pod, name = (report.target.pod or "").partition("/")[2], report.target.name
        if pod in pods:
            digest = pods[pod].get(name)
            group = (name, digest or report.target.image or "", report.target.user or "")
            groups.setdefault(group, []).append(_of_workload(report, owner, pod, digest))
    return [
        # A pod without a digest so far counts as one with the same image.
        _together(each, sum(pod.get(name, image) == image for pod in replicas.values()), catalog)
        for (name, image, _), each in sorted(groups.items(), key=lambda item: item[0])
    ]


def _of_workload(report: Report, owner: str, pod: str, digest: str | None) -> Report:
    image = report.target.image
    if image and digest:
        image = f"{image.partition('@')[0]}@{digest}"
    recordings = tuple(replace(one, pod=pod) for one in report.recordings)
    target = replace(report.target, owner=owner, image=image)
    return replace(report, target=target, recordings=recordings)


def _together(reports: list[Report], replicas: int, catalog: Catalog) -> Merged:
    named = [(report.target.pod or "", report) for report in reports]
    one = merge(named, catalog, name=reports[0].target.name)
    seen = len({recording.pod for recording in one.report.recordings})
    target = replace(one.report.target, replicas=replicas or seen)
    return replace(one, report=replace(one.report, target=target))


def coverage(report: Report) -> str:
    """``recorded in 2 of 3 replicas, 2 starts``."""
    pods = {recording.pod for recording in report.recordings}
    starts = sum(not recording.attached for recording in report.recordings)
    return f"recorded in {_of_all(len(pods), report)}, {starts or 'no'} start{'s' * (starts != 1)}"


def _of_all(pods: int, report: Report) -> str:
    """A number of pods out of those of the workload; after a restart there were more than it
    has."""
    recorded = len({recording.pod for recording in report.recordings})
    replicas = report.target.replicas or recorded
    if recorded > replicas:
        share = f"{pods} of {recorded}" if pods < recorded else pods
        return f"{share} pods, old and new"
    return f"{pods} of {counted(replicas, 'replica')}"


def seen_in(report: Report, need: Need) -> str:
    """``seen in 2 of 3 replicas``; nothing where it was seen in each that was recorded."""
    of_check = {check.id: item.pod for item in report.recordings for check in item.checks}
    used = [judged.check.id for judged in need.evidence if judged.effect is Effect.NEEDED]
    pods, recorded = {of_check[number] for number in used}, {one.pod for one in report.recordings}
    return f"seen in {_of_all(len(pods), report)}" if 0 < len(pods) < len(recorded) else ""


def file_name(report: Report, among: Iterable[Report]) -> str:
    """``web.json``; where a container was recorded with several images or users, with these."""
    name, image = report.target.name, report.target.image or ""
    targets = [other.target for other in among if other.target.name == name]
    parts = [name]
    if len({one.image for one in targets}) > 1:
        parts.append(image.partition("@sha256:")[2][:12] or image)
    if len({one.user for one in targets}) > 1:
        parts.append(f"user-{report.target.user}")
    return ".".join(re.sub(r"[^A-Za-z0-9.-]+", "-", part) for part in parts) + ".json"


def summary(report: Report, path: str) -> Iterator[str]:
    """The result for a container, and the file of its report."""
    target, proposal = report.target, report.proposal
    yield f"{target.owner}/{target.name}: {coverage(report)}"
    if target.image:
        yield f"  image: {target.image}"
    standing, doubt = standing_of(report)
    adds_only = standing in ADDS_ONLY
    title = "needed so far" if adds_only else "recommended set"
    yield f"  {title}: {set_text(proposal.recommended)}"
    for need in proposal.needs:
        if need.cap in proposal.recommended:
            seen = seen_in(report, need)
            yield f"    {need.cap.short}: {need.why}{f'; {seen}' if seen else ''}"
    if adds_only:
        more = "; --restart shows a start" if standing is Standing.PARTIAL else ""
        yield f"  {standing.words}: {doubt}: it can only add capabilities{more}"
    for caution in proposal.cautions:
        yield f"  caution: {caution}"
    yield f"  report: {path}"
