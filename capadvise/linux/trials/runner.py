"""Running trials: each in a process of its own, and nothing of it stays."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capadvise.caps import Cap, CapSet, names, parse_set
from capadvise.differences import Observed
from capadvise.errors import CapadviseError, Exit
from capadvise.linux.kernel import procfs
from capadvise.linux.kernel.scratch import scratch
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
class Job:
    """A workload that trials are made of."""

    argv: tuple[str, ...]
    workload: Workload
    isolation: str
    """``workload``: in a scratch directory; ``command``: where it was started; ``container``: made
    anew by its engine; ``none``."""
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


@dataclass(frozen=True, slots=True)
class TrialEvidence:
    """What a trial showed besides its outcome."""

    recording: Recording
    target: Target
    posture: Posture
    output: str


def everything(job: Job) -> CapSet:
    """All that it can be given on this machine."""
    return procfs.capability_sets().bounding if job.limit is None else job.limit


class Stop:
    """Ends all trials that are under way, from another thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self.asked = False

    def ask(self) -> None:
        """End them, and let none start any more."""
        with self._lock:
            self.asked = True
            for process in self._running:
                process.terminate()

    def start(self, command: list[str]) -> subprocess.Popen[bytes]:
        """Start a trial. Raises Interrupted when it is too late."""
        with self._lock:
            if self.asked:
                raise Interrupted
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
            self._running.add(process)
            return process

    def ended(self, process: subprocess.Popen[bytes]) -> None:
        """Forget a trial. Raises Interrupted when it was ended by ``ask``."""
        with self._lock:
            self._running.discard(process)
            if self.asked:
                raise Interrupted


def run(job: Job, caps: CapSet, stop: Stop) -> tuple[TrialOutcome, TrialEvidence]:
    """One trial. Raises BrokenTrial when it could not be made, Interrupted when it was ended."""
    with scratch(mode=0o755) as top:
        plan, result = top / "plan.json", top / "result.json"
        for path in (plan, result):  # they hold the environment, arguments and paths: secrets
            path.touch(mode=0o600)
        plan.write_text(json.dumps(_plan(job, caps, top)))
        process = stop.start(
            [sys.executable, "-P", "-m", "capadvise.linux.trials.sandbox", str(plan), str(result)]
        )
        try:
            process.wait(job.workload.timeout + 120)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        # It kills what it started; where it was killed itself, its set-up would live on.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        stop.ended(process)
        said = result.read_text()
        if not said:
            raise BrokenTrial("the trial ended without a result")
        raw = json.loads(said)
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
        "top": str(top),
        "argv": list(job.argv),
        "cwd": job.cwd,
        "env": env,
        "user": job.user,
        "isolation": job.isolation,
        "fresh": list(workload.fresh),
        "setup": workload.setup,
        "check": workload.check,
        "teardown": workload.teardown,
        "kind": workload.kind,
        "expect_exit": workload.expect_exit if workload.kind == "oneshot" else None,
        "timeout": workload.timeout,
        "caps": names(caps),
        "service": job.service,
        "reuse_volumes": job.reuse_volumes,
    }


def _outcome(raw: dict[str, Any]) -> TrialOutcome:
    kept = [item["kept"] for item in raw["recording"]["own_sets"]]
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
        kept=frozenset(Cap.parse(name) for names in kept for name in names),
    )


def _evidence(raw: dict[str, Any], job: Job) -> TrialEvidence:
    cwd = job.cwd or "$W"
    return TrialEvidence(
        recording=load_recording(raw["recording"]),
        target=Target("command", raw["name"], job.argv, cwd, raw["user"]),
        posture=load_posture(raw["posture"]),
        output=raw["output"],
    )
