"""The rounds of a trial: start, steps, stop; and again with the data of the first one.

The steps are one shell command, which runs like any health check until it passes. Each finished
step leaves a file in the round's folder, whose time says when. A check is repeated until it passes;
if a command that runs once fails, the target is ended and the round has failed.
"""

import datetime
import shlex
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from capadvise.kernel.own_programs import own_program
from capadvise.model.recording import Phase, Recording
from capadvise.model.workload import Act, Round, Step
from capadvise.observe.supervise.command import ANOTHER_FOLLOWS, Command
from capadvise.observe.supervise.observation import Observation

CLEAN = frozenset({0, *(128 + number for number in (1, 2, 13, 15))})
"""Exit statuses after an orderly stop, as systemd has them: SIGHUP, SIGINT, SIGPIPE, SIGTERM."""
_KILLED = 128 + 9
_RESTART_WAIT_SECONDS = 12.0
"""Seconds that a later start of a daemon can wait, in silence, for the leftovers of the one before:
dovecot waits 10 s for its dotlock, if it was stopped while it held that."""
_REST_SECONDS = 2.0
"""Seconds for the other processes to end after the main process. Until it is known if they do by
themselves, the stop is not judged by it."""
RunRound = Callable[[int, Command], Observation]
"""Runs one round, by its number from 1."""
_RELOAD_DELAY_SECONDS = 0.3
"""Seconds before a reload, to separate its needs from those of the start: the times of checks and
ours do not begin at the same moment."""
Reload = Callable[[Step], str]
"""Returns the shell command that makes a target reload."""
_FAIL = """fail() {
    echo "$1" > FOLDER/failed
    kill -KILL $(echo "$PIDS" | tr , ' ') 2>/dev/null
    exit 1
}"""
_CHECK = """if [ ! -e DONE ]; then
    SHELL -ec COMMAND || exit 1
    : > DONE
fi"""
_ONCE = """if [ ! -e DONE ]; then
    [ ! -e BEGUN ] || fail ACT # it took longer than one try may
    : > BEGUN
    WAIT
    SHELL -ec COMMAND || fail ACT
    : > DONE
fi"""


@dataclass(frozen=True, slots=True)
class RoundResult:
    """The result of one round."""

    recordings: tuple[Recording, ...]
    observation: Observation
    passed: bool
    why: str
    failed_at: str | None
    """``start``, ``exec``, ``reload`` or ``stop``."""
    stop: dict[str, Any] | None
    """The stop of a daemon, if it is judged, as a later trial's plan takes it."""
    late: bool = False
    """It ran out of time: it was still running."""


def run_rounds(
    plan: dict[str, Any], top: Path, command: Command, run: RunRound, last_line: Callable[[], str]
) -> Iterator[RoundResult]:
    """Run each round, until one fails. ``last_line``: the last one that the target printed."""
    for number, texts in enumerate(plan["rounds"], 1):
        steps_ = tuple(Step(Act(act), text) for act, text in texts)
        folder = top / f"round{number}"
        folder.mkdir()
        script = _script(steps_, plan["check"], folder, lambda step: _reload(plan, step))
        judged = plan["last_stop"] or number < len(plan["rounds"])
        patience = command.patience if judged else 0.0
        began = time.time()
        linger = ANOTHER_FOLLOWS if number < len(plan["rounds"]) else 0.0
        rest = _rest_patience(plan, patience)
        started = replace(
            command, check=script, patience=patience, rest_patience=rest, linger=linger
        )
        observation = run(number, started if number == 1 else _later(started))
        times = began, time.time()
        result = _result(plan, observation, folder, times, last_line(), judged_stop=judged)
        recordings = tuple(
            _labelled(recording, number, _reloaded_at(folder, steps_))
            for recording in observation.recordings
        )
        if result.passed and plan["kind"] != "daemon":
            recordings = tuple(replace(one, succeeded=True) for one in recordings)
        yield replace(result, recordings=recordings)
        if not result.passed:
            return


def _rest_patience(plan: dict[str, Any], patience: float) -> float:
    """An engine or systemd ends processes that outlast the main process, whatever these do."""
    if not patience or plan["isolation"] in ("container", "unit"):
        return 0.0
    expected = plan["stop"]
    if expected is None:
        return _REST_SECONDS
    return patience if expected["leaves_nothing"] else 0.0


def _later(command: Command) -> Command:
    """The command of a start with the data of another one."""
    if command.kind != "daemon" or command.seconds is None:
        return command
    still = command.still_limit
    return replace(
        command,
        seconds=command.seconds + _RESTART_WAIT_SECONDS,
        still_limit=None if still is None else max(still, _RESTART_WAIT_SECONDS),
    )


def _reload(plan: dict[str, Any], step: Step) -> str:
    """The command by which the target's own manager would reload it, with the target's
    restrictions."""
    container = plan["isolation"] == "container"
    if step.signal is not None:
        if container:
            return f'{plan["engine"]} kill --signal {step.signal} "$CONTAINER"'
        return f"kill -{step.signal} ${{PIDS%%,*}}"
    command = shlex.quote(step.text or "")
    if container:
        return f'{plan["engine"]} exec "$CONTAINER" /bin/sh -c {command}'
    restricted = own_program("capadvise.proof.trials.restricted")
    return f"{shlex.join([*restricted, ','.join(plan['caps'])])} /bin/sh -c {command}"


def _labelled(recording: Recording, start: int, reloaded: float | None) -> Recording:
    """Add the number of the start; checks that were first seen after a reload belong to the
    reload."""
    checks = recording.checks
    if reloaded is not None:
        began = datetime.datetime.fromisoformat(recording.started).timestamp()
        checks = tuple(
            replace(check, phase=Phase.RELOAD)
            if check.phase is Phase.RUN and check.first >= reloaded - began
            else check
            for check in checks
        )
    return replace(recording, start=start, checks=checks)


def _result(
    plan: dict[str, Any],
    observation: Observation,
    folder: Path,
    times: tuple[float, float],
    words: str,
    *,
    judged_stop: bool,
) -> RoundResult:
    seconds = times[1] - times[0]
    if plan["kind"] != "daemon":
        why, late = _oneshot_failed(plan, observation, seconds, words), _late(plan, seconds)
        return RoundResult((), observation, why is None, why or "", why and "start", None, late)
    passed_at = _time(folder / "passed")  # when all steps were done
    if not observation.check_passed or passed_at is None:
        failed = None  # the failed act, if it is one that is done once
        with suppress(OSError):
            failed = (folder / "failed").read_text().strip()
        why = _daemon_failed(plan, observation, seconds, failed, words)
        late = bool(observation.given_up) or _late(plan, seconds)
        return RoundResult((), observation, False, why, failed or "start", None, late)
    if not judged_stop:
        return RoundResult((), observation, True, "", None, None)
    stop = _stop(plan, observation, times[1] - passed_at)
    why = _stop_failed(plan, stop)
    return RoundResult((), observation, why is None, why or "", why and "stop", stop)


def _late(plan: dict[str, Any], seconds: float) -> bool:
    return bool(seconds >= plan["timeout"])


def _oneshot_failed(
    plan: dict[str, Any], observation: Observation, seconds: float, words: str
) -> str | None:
    status, passed = observation.recording.exit_status, observation.check_passed
    if _late(plan, seconds) and not passed:
        return f"timed out after {plan['timeout']:g} s"
    if plan["expect_exit"] is not None and status != plan["expect_exit"]:
        return f"exited with {status} instead of {plan['expect_exit']}: {words}".rstrip(": ")
    if plan["check"] and not passed:
        return f"the check failed: {observation.check_said}".rstrip(": ")
    return None


def _daemon_failed(
    plan: dict[str, Any], observation: Observation, seconds: float, act: str | None, words: str
) -> str:
    if act is not None:
        return f"{act} failed: {observation.check_said or words}".rstrip(": ")
    if observation.given_up:
        said = observation.check_said or words
        return f"{observation.given_up}, and the check failed: {said}".rstrip(": ")
    how = (
        "timed out" if _late(plan, seconds) else f"exited with {observation.recording.exit_status}"
    )
    return f"{how} before the check passed: {words or observation.check_said}".rstrip(": ")


def _stop(plan: dict[str, Any], observation: Observation, seconds: float) -> dict[str, Any]:
    status = observation.recording.exit_status
    left = observation.outlasting
    killed = status == _KILLED
    if (
        plan["isolation"] != "container"
    ):  # an engine takes its own time, and its kill has a status of its own
        killed |= seconds >= plan["patience"]
    return {
        "seconds": seconds,
        "killed": killed,
        "clean": status in CLEAN,
        "leaves_nothing": left == () and not killed,
        "status": status,
        "left": left,
    }


def _stop_failed(plan: dict[str, Any], stop: dict[str, Any]) -> str | None:
    """Compare with the stop with every capability: a daemon that did not end in time then never
    will."""
    expected = plan["stop"]
    if expected is None:
        return None
    if stop["left"] and expected["leaves_nothing"]:
        return f"it stopped, but left running: {', '.join(stop['left'])}"
    if stop["killed"] and not expected["killed"]:
        if plan["isolation"] == "container":
            return "did not stop in its grace period, and was killed by the engine"
        return f"had to be killed {plan['patience']:g} s after its stop began"
    if expected["clean"] and not stop["clean"]:
        return f"exited with {stop['status']} when it was stopped"
    return None


def _script(steps: Round, check: str | None, folder: Path, reload: Reload) -> str | None:
    """The script of all steps of a round; None if there are no steps. ``folder``: the round's,
    whose path needs no quoting."""
    lines = []
    for number, step in enumerate(steps):
        if step.act is Act.CHECK and check is None:
            continue
        command = reload(step) if step.act is Act.RELOAD else step.text or check or ""
        text = _CHECK if step.act is Act.CHECK else _ONCE
        for word, value in (
            ("DONE", f"{folder}/{number}.done"),
            ("BEGUN", f"{folder}/{number}.{step.act}"),
            ("ACT", str(step.act)),
            ("WAIT", f"sleep {_RELOAD_DELAY_SECONDS}" if step.act is Act.RELOAD else ":"),
            ("SHELL", shutil.which("bash") or "/bin/sh"),
            ("COMMAND", shlex.quote(command)),
        ):
            text = text.replace(word, value)
        lines.append(text)
    if not lines:
        return None
    return "\n".join([_FAIL.replace("FOLDER", str(folder)), *lines, f": > {folder}/passed"])


def _reloaded_at(folder: Path, steps: Round) -> float | None:
    """The time when the first reload began."""
    begun = (folder / f"{number}.{Act.RELOAD}" for number, _ in enumerate(steps))
    return next((time for path in begun if (time := _time(path)) is not None), None)


def _time(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None
