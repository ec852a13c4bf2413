"""Runs trials, each in a process of its own of which nothing remains."""

import json
import os
import shlex
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from capadvise.judgement.differences import Observed
from capadvise.judgement.proven import Interrupted, TrialOutcome
from capadvise.kernel import procfs
from capadvise.kernel.odd_start import former_limits
from capadvise.kernel.scratch import scratch_of_child
from capadvise.model.caps import Cap, CapSet, Credentials, names, parse_set
from capadvise.model.companion import Companion, in_plan
from capadvise.model.errors import CapadviseError, Exit
from capadvise.model.from_json import value_of
from capadvise.model.posture import Posture
from capadvise.model.recording import Recording
from capadvise.model.target import Target
from capadvise.model.workload import Workload
from capadvise.observe.ftrace.instances import remove_left_by_killed
from capadvise.proof.trials.stages import Stage
from capadvise.proof.trials.stop import Stop
from capadvise.report.load import load_recording
from capadvise.targets.client.container import LONGEST_GRACE
from capadvise.targets.systemd.drop_in import undo_abandoned

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "USER": "root",
    "LOGNAME": "root",
    "SHELL": "/bin/sh",
    "LANG": "C.UTF-8",
    "TERM": "dumb",
}
"""The environment of the scripts and the command of a workload file, with W, HOME and BENCH."""
_UNDO_SECONDS = 100.0
"""The time limit for removing what a trial made."""
_STOP_SECONDS, _SHORT_STOP_SECONDS = 10.0, 2.0
"""The time that a daemon has to stop, unless an engine gives it another; the time of one that does
not stop in that time anyway, and is not judged by it."""
_LEAST_STOP_SECONDS = 5.0
"""The least time of a daemon that is judged: a trial beside others takes longer than the first
one."""
Part = tuple[TrialOutcome, "TrialEvidence"]
SoFar = Callable[[Part], None]


class BrokenTrial(CapadviseError):
    """The set-up or the isolation failed: no verdict about capabilities."""

    exit_code = Exit.FAILED


@dataclass(frozen=True, slots=True)
class StopSeen:
    """The stop of a daemon."""

    seconds: float
    killed: bool
    """It did not end in time."""
    clean: bool
    """Its exit status was that of an orderly stop, each time."""
    leaves_nothing: bool
    """All other processes ended with its main process."""

    @property
    def patience(self) -> float:
        """Seconds until it is killed in later trials."""
        return _SHORT_STOP_SECONDS if self.killed else max(_LEAST_STOP_SECONDS, 10 * self.seconds)


@dataclass(frozen=True, slots=True)
class EngineCall:
    """How an engine makes the container of a trial."""

    engine: tuple[str, ...] = ()
    """The client, with the options that choose the engine."""
    service: str | None = None
    """The service of a compose project."""
    reuse_volumes: bool = False
    """It writes to the user's own volumes."""
    image: str | None = None
    """Instead of the command's own."""
    keep: str | None = None
    """The folder that gets a copy of what it leaves on its volumes."""
    filled: Mapping[str, str] = field(default_factory=dict)
    """Path in it → what an older image has left there, for the choice ``upgrade``."""
    upgrades_from: str | None = None
    """The older image that is to fill the volumes first."""
    adapts: bool = False
    """Its start gives old data another owner or mode."""
    on_host: bool = False
    """It has the machine's network."""


@dataclass(frozen=True, slots=True)
class Job:
    """A workload for trials."""

    argv: tuple[str, ...]
    workload: Workload
    isolation: str
    """``workload``: in a scratch directory; ``command``: in its own directory; ``container``: made
    again by its engine; ``unit``: restarted by its manager; ``none``."""
    cwd: str | None = None
    """None: the scratch directory."""
    user: str | None = None
    bench: str | None = None
    """``$BENCH``: the parent of the workload file's folder."""
    container: EngineCall | None = None
    """None for any other isolation."""
    limit: CapSet | None = None
    """The capabilities that an engine can give a container; None: those that this machine can
    grant."""
    choices: tuple[str, ...] = ("fresh",)
    """The data with which a container's trial begins, each of these: see
    ``targets.containers.data``."""
    before: Mapping[str, str] | None = None
    """The data that was kept before the recording; None: nothing is known of that time."""
    stdin: int | None = None
    """The offset in the file of our own standard input; None: it has none."""
    cautions: tuple[str, ...] = ()
    """The data that trials cannot have, one sentence each."""
    in_place: bool = False
    """It writes to the user's own files."""
    observed: bool = True
    """Its checks are recorded; without, a trial takes less time."""
    beside: tuple[Companion, ...] = ()
    """Companions of the set."""
    retry: bool = False
    """Each refused call is retried with a capability, which shows its arguments."""
    memory: int = 0
    """Bytes of memory that its scratch directory may take; 0: it is on disk."""
    exclusive: bool = False
    """It does not run side by side with others."""
    still_limit: float | None = None
    """Seconds without anything new after which a failing trial of a daemon ends; None: it has all
    the time that the workload allows, because no other trial has shown how long it takes."""
    userns: bool = False
    """In a user namespace, with one-to-one ids."""
    shared: tuple[str, ...] = ()
    """Sockets of the machine that it can reach."""
    profile: str = ""
    """The engine's default seccomp profile, if companions open it: JSON."""
    closable: tuple[str, ...] = ()
    """Calls of which refusals by the seccomp profile are recorded."""
    stop: StopSeen | None = None
    """Its stop with every capability; None: unknown yet, and no stop is judged."""
    allow_actions: bool = False
    """Trials of a unit may set off what the failure or end of a unit starts."""
    downtime: float | None = None
    """The seconds that all trials of a unit may take; None: no limit."""

    @property
    def alone(self) -> bool:
        """True if its trials cannot run side by side: they share data, or a network."""
        made = self.container
        shared = made is not None and (made.reuse_volumes or made.on_host)
        return self.exclusive or shared or self.in_place or self.isolation in ("none", "unit")

    @property
    def takes_settings(self) -> bool:
        """True if its network takes settings: a file makes the network of a project, and
        ``--network host`` uses the machine's."""
        if self.container is None:
            return self.isolation in ("command", "workload")
        return self.container.service is None and not self.container.on_host


@dataclass(frozen=True, slots=True)
class TrialEvidence:
    """The evidence of a trial."""

    recordings: tuple[Recording, ...]
    """One for each start; more for a service with several containers."""
    target: Target
    posture: Posture
    output: str
    rounds_passed: int
    stop: StopSeen | None
    groups: tuple[int, ...] = ()
    """The groups of files that it had no right to, if calls were retried."""
    exposure: str | None = None
    """The rating by systemd of a unit with options."""
    changed: tuple[str, ...] = ()
    """Files of the kernel and control groups of this machine that it changed."""
    sockets: tuple[str, ...] = ()
    """The local sockets that it tried to connect to."""


def everything(job: Job) -> CapSet:
    """All capabilities that it can be given on this machine."""
    return procfs.capability_sets().bounding if job.limit is None else job.limit


def _first_stop(job: Job) -> float:
    """Seconds to stop while nothing is known; a container has its own grace period."""
    return LONGEST_GRACE if job.isolation == "container" else _STOP_SECONDS


def run_once(job: Job, caps: CapSet, stop: Stop, so_far: SoFar | None = None) -> Part:
    """Make one trial, with the first of the choices. ``so_far`` gets the result of the first start
    while the next one is made.

    Raises BrokenTrial if it could not be made, Interrupted if it was ended.
    """
    place = ExitStack()
    top = place.enter_context(scratch_of_child())
    try:
        stage = stop.start()
    except Interrupted:
        place.close()
        raise
    # The plan goes over a connection: a file would hold the environment, arguments and paths, which
    # are secrets.
    plan = json.dumps(_plan(job, caps, top) | {"tells": so_far is not None}).encode()
    stops = max(_STOP_SECONDS, job.stop.patience if job.stop else _first_stop(job))
    seconds = len(job.workload.rounds) * (job.workload.timeout + 2 * stops) + 100
    result = stage.ask(plan, seconds, lambda line: so_far(_part(line, job)) if so_far else None)
    undo = partial(_undo, stage, place, killed=not result, of_unit=job.isolation == "unit")
    stop.ended(stage, undo, wait=job.alone)
    if not result:
        raise BrokenTrial("the trial ended without a result")
    return _part(result, job)


def _part(result: bytes, job: Job) -> Part:
    raw = json.loads(result)
    if "broken" in raw:
        raise BrokenTrial(raw["broken"], hint=raw.get("hint"))
    return _outcome(raw, job), _evidence(raw, job)


def _undo(stage: Stage, place: ExitStack, *, killed: bool, of_unit: bool) -> None:
    stage.wait(_UNDO_SECONDS)
    if killed:
        remove_left_by_killed()
    if of_unit:  # it may also have been killed after it sent its result
        undo_abandoned(stage.pid)
    place.close()


def _plan(job: Job, caps: CapSet, top: Path) -> dict[str, Any]:
    workload, made = job.workload, job.container or EngineCall()
    if job.cwd is None:
        env = ENVIRONMENT | {"W": str(top / "w"), "HOME": str(top / "home")}
        env |= {"BENCH": job.bench} if job.bench else {}
    else:
        env = dict(os.environ) | {"W": job.cwd}
    return {
        "top": str(top),
        "limits": former_limits(),
        "argv": list(job.argv),
        "cwd": job.cwd,
        "env": env,
        "user": job.user,
        "isolation": job.isolation,
        "fresh": list(workload.fresh),
        "setup": workload.setup,
        "check": workload.check,
        "check_after": workload.check_after,
        "still_limit": job.still_limit if workload.kind == "daemon" else None,
        "teardown": workload.teardown,
        "kind": workload.kind,
        "rounds": [[(str(step.act), step.text) for step in steps] for steps in workload.rounds],
        "last_stop": workload.steps is not None,
        "patience": _first_stop(job) if job.stop is None else job.stop.patience,
        "stop": None if job.stop is None else asdict(job.stop),
        "in_place": job.in_place,
        "memory": job.memory,
        "userns": job.userns,
        "shared": list(job.shared),
        "profile": job.profile,
        "closable": list(job.closable),
        "observed": job.observed or job.isolation == "unit",
        **in_plan(job.beside),
        "retry": job.retry,
        "data": job.choices[0],
        "before": job.before,
        "stdin": None if job.stdin is None else (f"/proc/{os.getpid()}/fd/0", job.stdin),
        "engine": shlex.join(made.engine),
        "expect_exit": workload.expect_exit if workload.kind == "oneshot" else None,
        "timeout": workload.timeout,
        "caps": names(caps),
        **{key: getattr(made, key) for key in ("service", "image", "keep", "filled")},
        "allow_actions": job.allow_actions,
        "reuse_volumes": made.reuse_volumes,
    }


def _outcome(raw: dict[str, Any], job: Job) -> TrialOutcome:
    kept = [item["kept"] for one in raw["recordings"] for item in one["fixed_capsets"]]
    seen = {name: _as_tuples(value) for name, value in raw["observed"].items()}
    credentials, granted = seen.pop("credentials"), seen.pop("granted")
    kept += [item["caps"] for one in raw["recordings"] for item in one["capable_files"]]
    return TrialOutcome(
        passed=raw["passed"],
        why=raw["why"],
        seconds=raw["seconds"],
        observed=Observed(
            **seen,
            credentials=tuple(map(Credentials._make, credentials)),
            granted=parse_set(granted),
        ),
        refused=parse_set(raw["refused"]),
        used=None if raw["used"] is None else parse_set(raw["used"]),
        kept=frozenset(Cap.parse(name) for names in kept for name in names),
        failed_at=raw["failed_at"],
        late=raw["late"] and job.still_limit is not None,
        output=raw["output"],
    )


def _as_tuples(value: Any) -> Any:
    return tuple(map(_as_tuples, value)) if isinstance(value, list) else value


def _evidence(raw: dict[str, Any], job: Job) -> TrialEvidence:
    cwd = job.cwd or "$W"
    return TrialEvidence(
        recordings=tuple(map(load_recording, raw["recordings"])),
        target=Target("command", raw["name"], job.argv, cwd, raw["user"]),
        posture=value_of(Posture, raw["posture"]),
        output=raw["output"],
        rounds_passed=raw["rounds_passed"],
        groups=tuple(raw["groups"]),
        exposure=raw["exposure"],
        changed=tuple(raw["changed"]),
        sockets=tuple(raw["sockets"]),
        stop=None if raw["stop"] is None else StopSeen(**raw["stop"]),
    )
