"""One trial of a workload, in a process of its own: isolate, set up, run, check, tear down.

Run as ``python -P -m capadvise.linux.trials.sandbox FOLDER PROVER``: a folder to make, and the
process that waits for the result. The plan comes on the standard input, the result goes to the
standard output, both as JSON. Nothing that it starts survives it: it is a
child subreaper, and what the target started is the guardian's.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from capadvise.caps import Cap
from capadvise.catalog import default
from capadvise.decide import Verdict, decide
from capadvise.errors import CapadviseError
from capadvise.linux.kernel import before, libc
from capadvise.linux.kernel.odd_start import adopt_limits
from capadvise.linux.kernel.process_tree import kill_descendants, reap_all
from capadvise.linux.kernel.snapshot import Files, snapshot
from capadvise.linux.supervise.command import Command
from capadvise.linux.supervise.observation import Observation
from capadvise.linux.supervise.record import observe
from capadvise.linux.trials.apart import call_apart
from capadvise.linux.trials.isolation import isolate
from capadvise.linux.trials.rounds import RoundResult, RunRound, run_rounds
from capadvise.recording import Recording
from capadvise.report.dump import dump_recording
from capadvise.report.posture import dump_posture

_LARGEST_OUTPUT = 20000


class StageError(Exception):
    """The trial could not be made: no verdict about capabilities."""


def main() -> None:
    """Make the trial that the plan describes; always write a result."""
    top, prover = Path(sys.argv[1]), int(sys.argv[2])
    libc.become_subreaper()
    libc.set_parent_death_signal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        answer = _private_pipe()
        plan = json.load(sys.stdin)
        adopt_limits(plan["limits"])
        place = os.open(top.parent, os.O_PATH | os.O_CLOEXEC)  # as it is outside of the trial
    except (ValueError, SystemExit):  # the prover was killed before it had told us
        return
    try:
        if os.getppid() != prover:  # before we asked to be told
            raise SystemExit
        top.mkdir()
        top.chmod(0o755)
        result = trial(plan, top)
    except (StageError, CapadviseError) as error:
        result = {"broken": str(error)}
    except OSError as error:
        result = {"broken": f"{error.filename or top}: {error.strerror}"}
    except SystemExit:  # SIGTERM before the target ran
        result = {"broken": "the trial was ended"}
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        kill_descendants(reap_all)
        if os.getppid() != prover:  # it was killed: what we made is left to us
            shutil.rmtree(top.name, ignore_errors=True, dir_fd=place)
    with suppress(BrokenPipeError), os.fdopen(answer, "w") as out:
        json.dump(result, out)


def _private_pipe() -> int:
    """Where the result goes: what we start gets the standard error in its place."""
    answer = os.dup(1)
    os.dup2(2, 1)
    return answer


def trial(plan: dict[str, Any], top: Path) -> dict[str, Any]:
    """All rounds, from set-up to tear-down."""
    work = Path(plan["cwd"]) if plan["cwd"] else top / "w"
    if not plan["cwd"]:
        work.mkdir(mode=0o755)
        (top / "home").mkdir(mode=0o700)
    os.environ.clear()
    os.environ.update(plan["env"])
    _isolate(plan, top)
    os.chdir(work)
    shell(plan["setup"], top, "setup", 60, needed=True)
    out, err = top / "stdout", top / "stderr"
    began = time.monotonic()
    if plan["isolation"] == "container":
        from capadvise.linux.engines.record.trial import container_trial

        of_container: list[Files] = []
        with container_trial(plan, top, out, err) as container:

            def run(number: int, command: Command) -> Observation:
                result: tuple[Observation, Files]
                result = call_apart(lambda: container.run(number, command))
                of_container.append(result[1])
                return result[0]

            rounds = _rounds(plan, top, run, out, err)
            files = of_container[-1]
    else:
        rounds = _rounds(
            plan, top, lambda _, command: call_apart(lambda: observe(command)), out, err
        )
        files = () if plan["isolation"] == "none" else snapshot(work)
    seconds = time.monotonic() - began
    kill_descendants(reap_all)
    shell(plan["teardown"], top, "teardown", 30, needed=False)
    return _result(plan, rounds, files, seconds, end_of(err, _LARGEST_OUTPUT), end_of(out, 2000))


def _isolate(plan: dict[str, Any], top: Path) -> None:
    try:
        isolate(plan["isolation"], top, plan["fresh"], plan["cwd"], in_place=plan["in_place"])
    except OSError as error:
        raise StageError(f"cannot isolate: {error.strerror}") from error
    for setting in plan["settings"] if plan["isolation"] != "container" else ():
        name, _, value = setting.partition("=")
        Path("/proc/sys", *name.split(".")).write_text(value)
    store = (plan["before"] or {}).get("cwd")
    if plan["isolation"] == "command" and not plan["in_place"] and store is not None:
        before.restore(plan["cwd"], Path(store))


def _rounds(
    plan: dict[str, Any], top: Path, run: RunRound, out: Path, err: Path
) -> list[RoundResult]:
    def logged_run(number: int, command: Command) -> Observation:
        with logged(out, err):
            return run(number, command)

    def words() -> str:
        return last_words(end_of(err, _LARGEST_OUTPUT))

    results = []
    for result in run_rounds(plan, top, command_of(plan), logged_run, words):
        results.append(result)
        kill_descendants(reap_all)
    return results


def _worst_stop(rounds: list[RoundResult]) -> dict[str, Any] | None:
    stops = [one.stop for one in rounds if one.stop is not None]
    if not stops:
        return None
    return {
        "seconds": max(stop["seconds"] for stop in stops),
        "killed": any(stop["killed"] for stop in stops),
        "clean": all(stop["clean"] for stop in stops),
    }


def _result(
    plan: dict[str, Any],
    rounds: list[RoundResult],
    files: Files,
    seconds: float,
    text: str,
    printed: str,
) -> dict[str, Any]:
    last = rounds[-1]
    act = "restart" if last.failed_at == "start" and len(rounds) > 1 else last.failed_at
    recordings = [recording for one in rounds for recording in one.recordings]
    posture = rounds[0].observation.posture
    return {
        "passed": last.passed,
        "why": last.why or last_words(text),
        "failed_at": act,
        "rounds_passed": len(rounds) - (not last.passed),
        "stop": _worst_stop(rounds),
        "seconds": round(seconds, 3),
        "exit": last.observation.recording.exit_status,
        "stderr": [re.sub(r"\d+", "N", line)[:200] for line in text.splitlines()[:200]],
        "files": files,
        "credentials": sorted({item for one in rounds for item in one.observation.credentials}),
        "refused": sorted({name for recording in recordings for name in _wanted(recording)}),
        "recordings": [
            dump_recording(recording, default(), posture.mac) for recording in recordings
        ],
        "posture": dump_posture(posture),
        "name": rounds[0].observation.target.name,
        "user": rounds[0].observation.target.user,
        "output": (printed + text)[-2000:],
    }


def _wanted(recording: Recording) -> list[str]:
    """Capabilities without which a call failed."""
    return [
        need.cap.name
        for need in decide(recording, default()).needs
        if need.verdict is Verdict.USED or (need.verdict is Verdict.DENIED and need.evidence)
    ]


@contextmanager
def logged(out: Path, err: Path) -> Iterator[None]:
    """Our output, and so the target's, in files, and nothing on the standard input."""
    saved = os.dup(2)
    for path, fd in ((Path(os.devnull), 0), (out, 1), (err, 2)):
        opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(opened, fd)
        os.close(opened)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def command_of(plan: dict[str, Any]) -> Command:
    """The target of the plan."""
    return Command(
        argv=tuple(plan["argv"]),
        user=plan["user"],
        check=plan["check"],
        check_after=plan["check_after"],
        kind=plan["kind"],
        seconds=plan["timeout"],
        caps=frozenset(Cap.parse(name) for name in plan["caps"]),
        patience=plan["patience"],
        unobserved=not plan["observed"],
        check_limit=max(2.0, plan["timeout"]),
        wait=True,  # what descends from us is killed next, the guardian included
    )


def end_of(path: Path, size: int) -> str:
    """The last bytes of what was printed, which can be more than memory holds."""
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - size))
        return file.read(size).decode(errors="backslashreplace")


def last_words(text: str) -> str:
    """The last line that was said."""
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else ""


def shell(script: str | None, top: Path, name: str, seconds: float, *, needed: bool) -> None:
    """Run one of the workload's scripts, with full privileges."""
    if not script:
        return
    log = top / name
    with log.open("w") as output:
        try:
            code: int | str = subprocess.run(
                [shutil.which("bash") or "sh", "-ec", script],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                timeout=seconds,
            ).returncode
        except subprocess.TimeoutExpired:
            code = f"still running after {seconds:g} s"
    if code and needed:
        said = end_of(log, 800).strip()
        raise StageError(f"{name} failed ({code}): {said}")


if __name__ == "__main__":
    main()
