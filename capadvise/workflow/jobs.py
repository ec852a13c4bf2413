"""Make the jobs of trials: from the workloads of a file, or from the command of a report."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from capadvise.catalog import default
from capadvise.judgement import remediation
from capadvise.judgement.conclusion import CONNECTS, LIVES, SECONDS, check_proposal
from capadvise.judgement.harm import file_capabilities_refused
from capadvise.judgement.judge import Effect
from capadvise.judgement.report import Report
from capadvise.kernel import own_streams
from capadvise.kernel.folders import MOST_CONTENT, changed_since
from capadvise.model import input_file, workload
from capadvise.model.caps import CapSet, setcap_words
from capadvise.model.errors import BadInput
from capadvise.model.recording import Phase
from capadvise.model.workload import TWO_RUNS, Workload
from capadvise.proof.trials.runner import EngineCall, Job
from capadvise.report.lines import listed
from capadvise.report.load import MAX_BYTES, parsed
from capadvise.report.words import order_of
from capadvise.targets.client.client import Client
from capadvise.targets.client.invocation import Invocation, recognize
from capadvise.targets.containers import grant, project
from capadvise.targets.containers.data import (
    COPY,
    VOLUMES,
    Before,
    choices,
    hidden_content,
    hides_files_of_others,
    sources,
)
from capadvise.targets.containers.registry import quick
from capadvise.workflow import upgrade
from capadvise.workflow.notice import notice
from capadvise.workflow.started_containers import of_containers
from capadvise.workflow.trust import require_trusted

_SHARED = (
    "the trials share everything with this machine: mounts, network, host name, IPC, and every "
    "file they write to"
)
_WRITTEN = (
    "the trials write to the real files: {cwd}, and every other file except those below /run "
    "and /dev/shm"
)
_ON_ITS_OWN = (
    "trials restarted the unit itself, on the data that it has: a first start, without any, is "
    "not proven"
)
_ELSEWHERE = (
    "each trial would start again what the command has an engine or systemd start, and trials of "
    "the command alone say nothing about that"
)
_MOST_NAMED = 5
_ONE_TO_ONE = (
    "user ids are mapped one to one: the trials can write what belongs to root in /proc, /sys and "
    "/dev; the kernel refuses that in the user namespace of a container"
)
_SETTLES = 2.0
"""Seconds after which a unit that is still active counts as started."""
PROVE_TIMEOUT = 30.0
"""The least time limit of a trial of a recorded command, in seconds."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """Something to be proven."""

    name: str
    job: Job
    known: Report | None = None
    """Its report; None for a workload of a file."""


@dataclass(frozen=True, slots=True)
class Ways:
    """The user's options for trials."""

    isolate: bool = True
    in_place: bool = False
    reuse_volumes: bool = False
    check: str | None = None
    """Instead of the report's own."""
    check_after: float | None = None
    """Seconds before its first try, instead of the report's own."""
    data: tuple[str, ...] | None = None
    """Only these choices of data; None: all."""
    userns: bool = False
    """In a user namespace."""
    old_image: str | None = None
    """The image that fills the volumes for an upgrade."""
    trusts: bool = False
    """Run what a file says, even if another user can write it."""
    allow_actions: bool = False
    """Let a unit's failure set off what it sets off."""
    downtime: float | None = None
    """The seconds that a unit may stand still for trials."""


def candidates(path: Path, ways: Ways) -> Iterator[Candidate]:
    """The candidates of a workload file or a report. Raises BadInput if no trial could be made."""
    data = input_file.data(path, MAX_BYTES)
    if path.suffix not in (".yaml", ".yml") and data.lstrip()[:1] == b"{":
        yield _of_report(data, path, ways)
        return
    if not ways.trusts:
        require_trusted(path)
    for named in workload.parsed(data, path):
        if named.workload.kind == "daemon" and not named.workload.check:
            raise BadInput(f"{path}: {named.name}: a daemon needs a check", hint=CHECKS)
        if not ways.isolate:
            raise BadInput("--no-isolate is for a report; a workload file is always isolated")
        if ways.check is not None:
            raise BadInput("--check is for a report; a workload file holds its own")
        if ways.in_place:
            raise BadInput("--in-place is for a report; a workload file has a folder of its own")
        bench = os.environ.get("BENCH") or str(path.resolve().parent.parent)
        yield Candidate(
            named.name,
            Job(
                *(named.argv, named.workload, "workload"),
                user=named.user,
                bench=bench,
                exclusive=named.exclusive,
                cautions=(_ONE_TO_ONE,) if ways.userns else (),
                userns=ways.userns,
            ),
        )


def _of_report(data: bytes, path: Path, ways: Ways) -> Candidate:
    report = parsed(data, path, default())
    notice(f"what {path} says will run{' as root' if os.geteuid() == 0 else ''}:")
    for line in order_of(report):
        notice(f"  {line}")
    if not ways.trusts:
        require_trusted(path)
    if len(report.recordings) > 1:
        notice(
            f"note: {path} was merged from {len(report.recordings)} runs; trials only show what "
            "its health check needs"
        )
    if ways.check is not None:
        report = with_check(report, ways.check)
    if ways.check_after is not None:
        work = replace(report.workload, check_after=ways.check_after)
        report = replace(report, workload=work)
    job = job_of(report, ways, new_check=ways.check is not None)
    if job.isolation == "none":
        notice(f"note: {_SHARED}")
    elif job.in_place:
        notice(f"note: {_WRITTEN.format(cwd=job.cwd)}")
    return Candidate(report.target.name, job, report)


def job_of(
    report: Report, ways: Ways = Ways(), *, new_check: bool = False, before: Before | None = None
) -> Job:
    """The job of a recorded command: in its directory, as its user.

    ``new_check``: the recorded run did not have this check; the first trial shows whether it passes
    at all. ``before``: the data that was kept before the recording.
    """
    _require_success(report, new_check=new_check)
    recording, target = report.recording, report.target
    work = replace(
        report.workload,
        timeout=max(PROVE_TIMEOUT, 3 * recording.seconds),
        expect_exit=recording.exit_status if report.workload.kind == "oneshot" else None,
    )
    if ways.userns and (target.kind == "unit" or not ways.isolate):
        raise BadInput(
            "--userns is for containers, and for commands that are isolated",
            hint="for a unit: PrivateUsers=identity, and record it again"
            if target.kind == "unit"
            else "without --no-isolate",
        )
    if target.kind == "container":
        return _of_container(report, work, ways, before)
    if target.kind == "unit":
        return _of_unit(report, work, ways)
    return _of_command(report, work, ways, before)


def _of_command(report: Report, work: Workload, ways: Ways, before: Before | None) -> Job:
    if ways.data or ways.reuse_volumes or ways.old_image:
        said = "--from, --fresh-only, --data-only and --reuse-volumes are for containers"
        raise BadInput(said)
    target = report.target
    if (elsewhere := of_containers(report)) and not ways.in_place:
        raise BadInput(_ELSEWHERE, hint=elsewhere)
    if changed := (before or {}).get("changed"):
        said = changes_settings(changed.split("\n"), "the recorded run did")
        raise BadInput(said, hint=TRY_IN_PLACE)
    uid = target.user.partition(":")[0]
    given = own_streams.state() if before is None else before  # of a report: what it has now
    return Job(
        target.argv,
        work,
        "command" if ways.isolate else "none",
        cwd=target.cwd,
        user=None if uid == "0" else uid,
        before=before,
        stdin=own_streams.offset(given),
        cautions=(
            *_not_kept(before, [("cwd", target.cwd or "")]),
            *own_streams.cautions(before or {}),
            *([_ONE_TO_ONE] if ways.userns else []),
        ),
        in_place=ways.in_place,
        userns=ways.userns,
    )


def changes_settings(changed: Sequence[str], who: str) -> str:
    """The reason why there is no further trial. ``who`` has changed these."""
    more = [f"{len(changed) - _MOST_NAMED} more"] if len(changed) > _MOST_NAMED else []
    named = listed([*changed[:_MOST_NAMED], *more])
    return f"each trial would change this machine, as {who}: {named}"


TRY_IN_PLACE = "capadvise prove --in-place REPORT runs the trials anyway"


def _of_container(report: Report, work: Workload, ways: Ways, before: Before | None) -> Job:
    if not ways.isolate or ways.in_place:
        option = "--in-place" if ways.in_place else "--no-isolate"
        raise BadInput(f"{option} is for commands", hint="for containers: --reuse-volumes")
    target = report.target
    invocation = recognize(target.argv)
    if invocation is None:
        raise BadInput("the report's command starts no known container")
    client = quick(Client(invocation.engine, invocation.client))
    data = sources(invocation, client, target.service)
    there = choices(data, before)
    if any(hides_files_of_others(client, source) for source in data):
        there.insert(1, VOLUMES)
    chosen = _wanted(there, ways)
    argv = target.argv
    if ways.userns:
        argv = grant.with_user_namespace(invocation, client, report.posture).argv()
    not_kept = _not_kept(before, [(source.key, source.place) for source in data])
    unread = own_streams.cautions(before or {}, of_container=True) if invocation.reads else ()
    return Job(
        argv,
        _runs(work, again=bool(data) and invocation.verb == "compose up"),
        "container",
        cwd=target.cwd,
        container=_engine_call(ways, invocation, client, target.service, full=COPY in there),
        limit=report.recording.held.bounding,
        choices=chosen,
        before=before,
        cautions=(*unread, *not_kept, *(() if VOLUMES in chosen else hidden_content(client, data))),
        userns=ways.userns,
    )


def _engine_call(
    ways: Ways, invocation: Invocation, client: Client, service: str | None, *, full: bool
) -> EngineCall:
    """``full``: its data had content."""
    image, on_host = _image_and_network(invocation, service)
    if ways.old_image:
        if ways.reuse_volumes:
            raise BadInput("--from fills volumes of its own: it is not for --reuse-volumes")
        upgrade.require_same_program(client, ways.old_image, image)
    own = ways.reuse_volumes or full
    return EngineCall(
        *(client.argv, service, ways.reuse_volumes),
        upgrades_from=ways.old_image,
        adapts=not own and upgrade.adapts(client, invocation, image),
        on_host=on_host,
    )


def _image_and_network(invocation: Invocation, service: str | None) -> tuple[str, bool]:
    """The image; and True if a container that each trial starts has the machine's network."""
    if service is None:
        networks = [one.value for one in invocation.options if one.name in ("network", "net")]
        return invocation.image or "", "host" in networks
    resolved = project.config(invocation)
    services = resolved["services"]
    on_host = any(one.get("network_mode") == "host" for one in services.values())
    return services[service].get("image") or f"{resolved['name']}-{service}", on_host


def _runs(work: Workload, *, again: bool) -> Workload:
    """``again``: the command can start the same container again, on the same data."""
    asked = work.kind == "daemon" or work.steps is not None
    return replace(work, steps=TWO_RUNS) if again and not asked else work


def _wanted(there: Sequence[str], ways: Ways) -> tuple[str, ...]:
    """The choices of data that the user wants; at least the first."""
    if ways.reuse_volumes:
        return (there[0],)
    return tuple(one for one in there if ways.data is None or one in ways.data) or (there[0],)


def _of_unit(report: Report, work: Workload, ways: Ways) -> Job:
    chosen = ways.data or ways.reuse_volumes or ways.old_image
    if not ways.isolate or ways.in_place or chosen:
        raise BadInput("trials of a unit restart the unit itself: there is nothing to choose")
    if work.only_watched:  # the last trial alone takes the whole time
        work = replace(work, check_after=min(work.check_after, _all_happened(report)))
    return Job(
        report.target.argv,
        work,
        "unit",
        cwd="/",
        limit=report.recording.held.bounding,
        cautions=(_ON_ITS_OWN,),
        allow_actions=ways.allow_actions,
        downtime=ways.downtime,
    )


def _all_happened(report: Report) -> float:
    """Seconds after its start in which a unit does all that needs its set, and a moment more."""
    checks = (check for recording in report.recordings for check in recording.checks)
    proposed = (one for one in checks if one.cap in report.proposal.recommended)
    moments = (one.first for one in proposed if one.phase is Phase.RUN)
    return max(moments, default=0.0) + _SETTLES


def _not_kept(before: Before | None, places: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """Sentences about data that trials cannot begin with. ``places``: (key in ``before``, path)."""
    sentences = []
    for key, place in places:
        store = (before or {}).get(key)
        if store == "":
            sentences.append(
                f"{place} has too many files to be kept as it was before the recording: trials "
                "begin with what the recording left"
            )
        elif store and (changed := changed_since(place, Path(store))):
            more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
            sentences.append(
                f"{changed[0]}{more}: not kept, since without reflinks no more than "
                f"{MOST_CONTENT >> 20} MB are copied, or there was no room: trials begin with the "
                "content that the recording left"
            )
    return tuple(sentences)


def _require_success(report: Report, *, new_check: bool) -> None:
    if report.workload.kind == "daemon" and not report.workload.check:
        raise BadInput(
            "the report has no health check, so trials cannot tell success from failure",
            hint=how_to_check(report),
        )
    passed = report.proven is not None and report.proven.minimal is not None
    unclear = report.recording.succeeded is not True or report.was_stopped
    if unclear and not (new_check or passed):  # trials have passed with this very check
        how, hint = "was stopped, without a health check", how_to_check(report)
        if report.recording.succeeded is False:
            how, hint = "failed", "record a run that exits with 0, or pass a check that succeeds"
            hint = _beforehand(report) or hint
        elif report.workload.check is not None:
            how, hint = "ended before its health check passed", "pass a check that succeeds earlier"
        raise BadInput(
            f"the recorded run {how}, so trials cannot tell success from failure",
            hint=of_containers(report) or hint,
        )


def _beforehand(report: Report) -> str | None:
    """Advice for a container that fails since an engine gives its user no capability."""
    for folder in remediation.in_the_way(report.recordings):
        return f"{remediation.advice(folder)}, and record it again"
    uid, caps = report.target.user.partition(":")[0], report.proposal.recommended
    if report.target.kind != "container" or uid == "0":
        return None
    for need in report.proposal.needs:
        for item in need.evidence if need.cap in caps else ():
            if item.effect is Effect.NEEDED and not item.check.granted:
                return _file_capabilities(uid, caps, item.check.program)
    return None


def _file_capabilities(uid: str, caps: CapSet, program: str) -> str:
    """The way to capabilities for a container's user, unless it makes every user of it root."""
    why = file_capabilities_refused(caps, (program,), default(), image=True)
    if why:
        return (
            f"an engine gives user {uid} no capability, and file capabilities are no way: {why}. "
            "capadvise explain CAPABILITY says what to do instead"
        )
    return (
        f"an engine gives user {uid} no capability: RUN setcap {setcap_words(caps)} on the "
        f"file of {program} in the Dockerfile, where each user may then do what it does, and "
        "record it again"
    )


# -------------------------------------------------------------- health checks

CHECKS = (
    "a check is a shell command that exits with 0 when the target works: for one that listens on "
    f"port 80, '{CONNECTS.format(port=80)}'; for one that is to live {SECONDS} s, '{LIVES}'"
)
"""One sentence, for a target that was not observed yet."""


def how_to_check(report: Report) -> str:
    """One sentence on how to write a health check."""
    return (
        "a check is a shell command that exits with 0 when the target works: "
        f"--check '{check_proposal(report)}'"
    )


def with_check(report: Report, check: str) -> Report:
    """The report with a check that the recorded run did not have. A target that was stopped, and
    did not end by itself, is checked while it runs."""
    stopped = report.recording.interrupted or report.was_stopped
    kind = "daemon" if stopped else report.workload.kind
    return replace(report, workload=replace(report.workload, kind=kind, check=check))
