"""Running trials: each in a process of its own, and nothing of it stays."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from capadvise.caps import Cap, CapSet, names, parse_set
from capadvise.differences import Observed
from capadvise.errors import CapadviseError, Exit
from capadvise.linux.ftrace.instances import remove_left_by
from capadvise.linux.kernel import procfs
from capadvise.linux.kernel.odd_start import given_limits
from capadvise.linux.kernel.scratch import scratch_of_child
from capadvise.posture import Posture
from capadvise.prove import Interrupted, TrialOutcome
from capadvise.recording import Recording, Target
from capadvise.report.load import load_recording
from capadvise.report.posture import load_posture
from capadvise.workload import Workload

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

    @property
    def patience(self) -> float:
        """Seconds until it is killed in later trials."""
        return _SOON if self.killed else max(_SOON, 5 * self.seconds)


@dataclass(frozen=True, slots=True)
class Job:
    """A workload that trials are made of."""

    argv: tuple[str, ...]
    workload: Workload
    isolation: str
    """``workload``: in a scratch directory; ``command``: where it was started; ``container``: made
    again by its engine; ``none``."""
    cwd: str | None = None
    """None: the scratch directory."""
    user: str | None = None
    bench: str | None = None
    """``$BENCH``: the parent of the workload file's folder."""
    service: str | None = None
    """Of a compose project."""
    reuse_volumes: bool = False
    """A container writes to the user's own volumes."""
    limit: CapSet | None = None
    """What a container can be given by its engine; None: what this machine can grant."""
    engine: tuple[str, ...] = ()
    """Of a container: the client, with the options that choose the engine."""
    choices: tuple[str, ...] = ("fresh",)
    """What a container's trial begins with, each of these: see ``engines.record.data``."""
    before: Mapping[str, str] | None = None
    """What was kept before the recording; None: nothing is known of that time."""
    on_host: bool = False
    """A container that has the machine's network."""
    in_place: bool = False
    """It writes to the user's own files."""
    observed: bool = True
    """Its checks are seen; without, a trial is sooner over."""
    settings: tuple[str, ...] = ()
    """``name=value`` of sysctls of its network."""
    stop: StopSeen | None = None
    """How it stopped with every capability; None: that is not known yet, and no stop is judged."""

    @property
    def takes_settings(self) -> bool:
        """Whether its network is its own: of a project it is made by a file, and of ``--network
        host`` it is the machine's."""
        if self.isolation != "container":
            return self.isolation in ("command", "workload")
        return self.service is None and not self.on_host


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


def everything(job: Job) -> CapSet:
    """All that it can be given on this machine."""
    return procfs.capability_sets().bounding if job.limit is None else job.limit


_PATIENCE, _SOON = 10.0, 2.0
"""Seconds that a daemon may take to stop, as long as docker gives it; of one that does not stop in
that time, and at least."""


class Stop:
    """Ends all trials that are under way, from another thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._parts: list[Stop] = []
        self.asked = False

    def part(self) -> Stop:
        """Ends some of the trials; those that this one ends are ended, too."""
        part = Stop()
        with self._lock:
            part.asked = self.asked
            self._parts.append(part)
        return part

    def ask(self) -> None:
        """End them, and let none start any more."""
        with self._lock:
            self.asked = True
            for process in self._running:
                process.terminate()
            parts = list(self._parts)
        for part in parts:
            part.ask()

    def start(self, command: list[str]) -> subprocess.Popen[bytes]:
        """Start a trial. Raises Interrupted when it is too late."""
        with self._lock:
            if self.asked:
                raise Interrupted
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
            )
            self._running.add(process)
            return process

    def ended(self, process: subprocess.Popen[bytes]) -> None:
        """Forget a trial. Raises Interrupted when it was ended by ``ask``."""
        with self._lock:
            self._running.discard(process)
            if self.asked:
                raise Interrupted


def run_once(job: Job, caps: CapSet, stop: Stop) -> tuple[TrialOutcome, TrialEvidence]:
    """One trial, with the first of the choices.

    Raises BrokenTrial when it could not be made, Interrupted when it was ended.
    """
    with scratch_of_child() as top:
        # By pipes: a file would hold the environment, arguments and paths, which are secrets.
        plan = json.dumps(_plan(job, caps, top)).encode()
        stage = [sys.executable, "-P", "-m", "capadvise.linux.trials.sandbox"]
        process = stop.start([*stage, str(top), str(os.getpid())])
        seconds = len(job.workload.rounds) * (job.workload.timeout + 20) + 100
        try:
            result, _ = process.communicate(plan, seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            result, _ = process.communicate()
        # It kills what it started; where it was killed itself, its set-up would live on.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        if process.returncode < 0:
            remove_left_by(process.pid)
        stop.ended(process)
        if not result:
            raise BrokenTrial("the trial ended without a result")
        raw = json.loads(result)
    if "broken" in raw:
        raise BrokenTrial(raw["broken"])
    return _outcome(raw), _evidence(raw, job)


def _plan(job: Job, caps: CapSet, top: Path) -> dict[str, Any]:
    workload = job.workload
    if job.cwd is None:
        env = ENVIRONMENT | {"W": str(top / "w"), "HOME": str(top / "home")}
        env |= {"BENCH": job.bench} if job.bench else {}
    else:
        env = dict(os.environ) | {"W": job.cwd}
    return {
        "limits": given_limits(),
        "argv": list(job.argv),
        "cwd": job.cwd,
        "env": env,
        "user": job.user,
        "isolation": job.isolation,
        "fresh": list(workload.fresh),
        "setup": workload.setup,
        "check": workload.check,
        "check_after": workload.check_after,
        "teardown": workload.teardown,
        "kind": workload.kind,
        "rounds": [[(str(step.act), step.text) for step in steps] for steps in workload.rounds],
        "patience": _PATIENCE if job.stop is None else job.stop.patience,
        "stop": None if job.stop is None else asdict(job.stop),
        "in_place": job.in_place,
        "observed": job.observed or job.isolation == "container",
        "settings": list(job.settings),
        "data": job.choices[0],
        "before": job.before,
        "engine": shlex.join(job.engine),
        "expect_exit": workload.expect_exit if workload.kind == "oneshot" else None,
        "timeout": workload.timeout,
        "caps": names(caps),
        "service": job.service,
        "reuse_volumes": job.reuse_volumes,
    }


def _outcome(raw: dict[str, Any]) -> TrialOutcome:
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
        output=raw["output"],
    )


def _evidence(raw: dict[str, Any], job: Job) -> TrialEvidence:
    cwd = job.cwd or "$W"
    return TrialEvidence(
        recordings=tuple(map(load_recording, raw["recordings"])),
        target=Target("command", raw["name"], job.argv, cwd, raw["user"]),
        posture=load_posture(raw["posture"]),
        output=raw["output"],
        rounds_passed=raw["rounds_passed"],
        stop=None if raw["stop"] is None else StopSeen(**raw["stop"]),
    )
