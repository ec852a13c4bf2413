"""Running trials: each in a process of its own, and nothing of it stays."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from capadvise.judgement.differences import Observed
from capadvise.judgement.trial_outcome import Interrupted, TrialOutcome
from capadvise.kernel import procfs
from capadvise.kernel.odd_start import former_limits
from capadvise.kernel.scratch import scratch_of_child
from capadvise.model.caps import Cap, CapSet, names, parse_set
from capadvise.model.companion import Companion, in_plan
from capadvise.model.errors import CapadviseError, Exit
from capadvise.model.posture import Posture
from capadvise.model.recording import Recording
from capadvise.model.target import Target
from capadvise.model.workload import Workload
from capadvise.observe.ftrace.instances import remove_left_by_killed
from capadvise.proof.trials.stages import Stage
from capadvise.proof.trials.stop import Stop
from capadvise.report.load import load_recording, value_of
from capadvise.targets.systemd.drop_in import undo_abandoned

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "USER": "root",
    "LOGNAME": "root",
    "SHELL": "/bin/sh",
    "LANG": "C.UTF-8",
    "TERM": "dumb",
}
"""What the scripts and the command of a workload file see, beside W, HOME and BENCH."""


class BrokenTrial(CapadviseError):
    """The set-up or the isolation failed: no verdict about capabilities."""

    exit_code = Exit.FAILED


@dataclass(frozen=True, slots=True)
class StopSeen:
    """How a daemon stopped that was told to."""

    seconds: float
    killed: bool
    """It did not end in time."""
    clean: bool
    """Its exit status was that of an orderly stop, each time."""
    leaves_nothing: bool
    """When its main process had ended, so had all others, without being told to."""

    @property
    def patience(self) -> float:
        """Seconds until it is killed in later trials."""
        return _SOON if self.killed else max(_LEAST, 10 * self.seconds)


@dataclass(frozen=True, slots=True)
class EngineCall:
    """How an engine makes the container of a trial."""

    engine: tuple[str, ...] = ()
    """The client, with the options that choose the engine."""
    service: str | None = None
    """The service of a compose project."""
    reuse_volumes: bool = False
    """It writes to the user's own volumes."""
    on_host: bool = False
    """It has the machine's network."""


@dataclass(frozen=True, slots=True)
class Job:
    """A workload that trials are made of."""

    argv: tuple[str, ...]
    workload: Workload
    isolation: str
    """``workload``: in a scratch directory; ``command``: where it was started; ``container``: made
    again by its engine; ``unit``: restarted by its manager; ``none``."""
    cwd: str | None = None
    """None: the scratch directory."""
    user: str | None = None
    bench: str | None = None
    """``$BENCH``: the parent of the workload file's folder."""
    container: EngineCall | None = None
    """None for any other isolation."""
    limit: CapSet | None = None
    """What a container can be given by its engine; None: what this machine can grant."""
    choices: tuple[str, ...] = ("fresh",)
    """What a container's trial begins with, each of these: see ``engines.record.data``."""
    before: Mapping[str, str] | None = None
    """What was kept before the recording; None: nothing is known of that time."""
    stdin: int | None = None
    """Where in the file that is our own standard input it begins to read; None: it has none."""
    cautions: tuple[str, ...] = ()
    """What of its data trials cannot have, a sentence each."""
    in_place: bool = False
    """It writes to the user's own files."""
    observed: bool = True
    """Its checks are seen; without, a trial is sooner over."""
    beside: tuple[Companion, ...] = ()
    """What it does not have otherwise."""
    retry: bool = False
    """Each call that is refused is made again with a capability, which tells its arguments."""
    memory: int = 0
    """Bytes of memory that its scratch directory may take; 0: it is on disk."""
    exclusive: bool = False
    """It does not run beside others."""
    still_limit: float | None = None
    """Of a daemon: seconds without anything new after which a failing trial ends; None: it has all
    the time that the workload allows, as no other trial has shown how long it takes."""
    userns: bool = False
    """In a user namespace, with one-to-one ids."""
    stop: StopSeen | None = None
    """How it stopped with every capability; None: that is not known yet, and no stop is judged."""

    @property
    def alone(self) -> bool:
        """Whether no two of its trials run side by side: they share what they write to, or a
        network."""
        made = self.container
        shared = made is not None and (made.reuse_volumes or made.on_host)
        return self.exclusive or shared or self.in_place or self.isolation in ("none", "unit")

    @property
    def takes_settings(self) -> bool:
        """Whether its network is its own: of a project it is made by a file, and of ``--network
        host`` it is the machine's."""
        if self.container is None:
            return self.isolation in ("command", "workload")
        return self.container.service is None and not self.container.on_host


@dataclass(frozen=True, slots=True)
class TrialEvidence:
    """What a trial showed besides its outcome."""

    recordings: tuple[Recording, ...]
    """One for each start, and of a service with several containers more."""
    target: Target
    posture: Posture
    output: str
    rounds_passed: int
    stop: StopSeen | None
    groups: tuple[int, ...] = ()
    """Of the files that it has no right to, where it was retried."""
    exposure: str | None = None
    """Of a unit with options: how systemd rates it."""


def everything(job: Job) -> CapSet:
    """All that it can be given on this machine."""
    return procfs.capability_sets().bounding if job.limit is None else job.limit


_UNDOING = 100.0
"""Seconds that it may take to remove what a trial made."""
_PATIENCE, _SOON = 10.0, 2.0
"""Seconds that a daemon may take to stop, as long as docker gives it; of one that does not stop in
that time, and is not judged by that."""
_LEAST = 5.0
"""Of one that is judged: a trial beside others takes longer than the first one."""


Part = tuple[TrialOutcome, "TrialEvidence"]
SoFar = Callable[[Part], None]


def run_once(job: Job, caps: CapSet, stop: Stop, so_far: SoFar | None = None) -> Part:
    """One trial, with the first of the choices. ``so_far`` is told what came of the first start
    while the next one is made.

    Raises BrokenTrial when it could not be made, Interrupted when it was ended.
    """
    place = ExitStack()
    top = place.enter_context(scratch_of_child())
    try:
        stage = stop.start()
    except Interrupted:
        place.close()
        raise
    # By a connection: a file would hold the environment, arguments and paths, which are secrets.
    plan = json.dumps(_plan(job, caps, top) | {"tells": so_far is not None}).encode()
    seconds = len(job.workload.rounds) * (job.workload.timeout + 20) + 100
    result = stage.ask(plan, seconds, lambda line: so_far(_part(line, job)) if so_far else None)
    undo = partial(_undo, stage, place, killed=not result, of_unit=job.isolation == "unit")
    stop.ended(stage, undo, wait=job.alone)
    if not result:
        raise BrokenTrial("the trial ended without a result")
    return _part(result, job)


def _part(result: bytes, job: Job) -> Part:
    raw = json.loads(result)
    if "broken" in raw:
        raise BrokenTrial(raw["broken"])
    return _outcome(raw, job), _evidence(raw, job)


def _undo(stage: Stage, place: ExitStack, *, killed: bool, of_unit: bool) -> None:
    stage.wait(_UNDOING)
    if killed:
        remove_left_by_killed()
    if of_unit:  # it may have been killed after it had told its result, too
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
        "patience": _PATIENCE if job.stop is None else job.stop.patience,
        "stop": None if job.stop is None else asdict(job.stop),
        "in_place": job.in_place,
        "memory": job.memory,
        "userns": job.userns,
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
        "service": made.service,
        "reuse_volumes": made.reuse_volumes,
    }


def _outcome(raw: dict[str, Any], job: Job) -> TrialOutcome:
    own_sets = [item["kept"] for one in raw["recordings"] for item in one["own_sets"]]
    return TrialOutcome(
        passed=raw["passed"],
        why=raw["why"],
        seconds=raw["seconds"],
        observed=Observed(
            exit_status=raw["exit"],
            stderr=tuple(raw["stderr"]),
            files=tuple((path, text) for path, text in raw["files"]),
            credentials=tuple((name, uid, gid) for name, uid, gid in raw["credentials"]),
        ),
        refused=parse_set(raw["refused"]),
        kept=frozenset(Cap.parse(name) for names in own_sets for name in names),
        failed_at=raw["failed_at"],
        late=raw["late"] and job.still_limit is not None,
        output=raw["output"],
    )


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
        stop=None if raw["stop"] is None else StopSeen(**raw["stop"]),
    )
