"""kill -9 of any one of our processes, at any moment; or all of them stand still for a while."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from capadvise.judgement.report import Report
from capadvise.kernel import procfs
from capadvise.kernel.process_tree import descendants
from capadvise.observe.supervise.command_subject import GUARDIAN_KILLED
from tests.faults.aftermath import containers, nothing_is_left, ours, sound
from tests.support.containers import BOX, CLIENTS, ENVIRONMENT
from tests.support.processes import Marked
from tests.support.runs import CAPADVISE
from tests.support.wait import until

TREE = "chown 0 /dev/null; setsid sleep {word} & sleep {word} & exec sleep {word}"
WORKLOAD = """
name: killed
kind: daemon
command: [sh, -c, "{tree}"]
check: "false"
timeout: 0.5
"""


@dataclass(frozen=True)
class Kind:
    """One way to run capadvise on a target that would run for hours."""

    argv: Callable[[Path, str], list[str]]
    begins: float
    """Seconds until the target runs, on a machine that has nothing else to do."""


def _run(*options: str) -> Callable[[Path, str], list[str]]:
    return lambda folder, word: [
        *(CAPADVISE, "run", "-q", "-o", str(folder / "r.json"), *options),
        *("--", "sh", "-c", TREE.format(word=word)),
    ]


def _run_prove(folder: Path, word: str) -> list[str]:
    """One that ends by itself: most of the time, its data is kept for trials, or they run."""
    script = f"chown 0 /dev/null; setsid sleep {word} & exec sleep 1"
    options = ("-q", "--prove", "-o", str(folder / "r.json"), "--for", "1")
    return [CAPADVISE, "run", *options, "--", "sh", "-c", script]


def _prove(folder: Path, word: str) -> list[str]:
    path = folder / "w.yaml"
    path.write_text(WORKLOAD.format(tree=TREE.format(word=word)))
    return [CAPADVISE, "prove", str(path), "-o", str(folder / "r.json")]


def _container(engine: str) -> Callable[[Path, str], list[str]]:
    start = [*CLIENTS[engine], "run", "--rm", "--network=none", BOX, "sh", "-c"]
    return lambda folder, word: [
        *(CAPADVISE, "run", "-q", "-o", str(folder / "r.json"), "--", *start),
        TREE.format(word=word),
    ]


def _attach(folder: Path, word: str) -> list[str]:
    subprocess.Popen(["sh", "-c", TREE.format(word=word)], start_new_session=True)
    mark = Marked()
    mark.word = word
    until(lambda: len(mark.processes()) == 3)
    return [CAPADVISE, "attach", "-o", str(folder / "r.json"), str(max(mark.processes()))]


KINDS = {
    "run": Kind(_run(), 0.4),
    "run --retry": Kind(_run("--retry"), 0.6),
    "prove": Kind(_prove, 1.2),
    "run --prove": Kind(_run_prove, 2.0),
    "attach": Kind(_attach, 0.5),
    "docker": Kind(_container("docker"), 1.5),
    "podman": Kind(_container("podman"), 1.5),
}


def strike(root: int, dice: random.Random) -> str:
    """Kill one process of ours, whichever; what it was."""
    found = [(pid, kind) for pid, kind in ours(root).items() if procfs.state(pid) not in ("", "Z")]
    kinds = sorted({kind for _, kind in found})
    wanted = dice.choice(kinds) if kinds else "supervisor"  # as often as there are kinds
    if victims := [pid for pid, kind in found if kind == wanted]:
        with suppress(ProcessLookupError):
            os.kill(dice.choice(victims), signal.SIGKILL)
    return wanted


def no_containers(engine: str, supervisor: int) -> bool:
    """Whether none that it recorded runs."""
    found = containers("capadvise.recording", CLIENTS[engine])
    return not any(f" {supervisor}-" in line for line in found)


def started(kind: Kind, folder: Path, word: str) -> subprocess.Popen[bytes]:
    """One run of capadvise; what it says goes into a file of the folder."""
    with (folder / "log").open("w") as out:
        return subprocess.Popen(
            kind.argv(folder, word),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env=ENVIRONMENT,
        )


def kill_once(name: str, number: int, folder: Path) -> None:
    """Kill one process at one moment. Raises AssertionError where something is left or lost."""
    kind, dice, marked = KINDS[name], random.Random(f"{name} {number}"), Marked()
    told = f"{name}, round {number}"
    try:
        process = started(kind, folder, marked.word)
        time.sleep(dice.uniform(0, 2 * kind.begins))
        supervisors = set(ours(process.pid))
        victim = strike(process.pid, dice)
        told += f": killed the {victim}"
        if name == "attach":
            assert len(marked.processes()) == 3, told
            process.send_signal(signal.SIGINT)
        if name == "prove" and victim == "stage":
            process.send_signal(signal.SIGINT)
        if name in CLIENTS and victim == "keeper":  # the recording goes on without it
            process.send_signal(signal.SIGINT)
        process.wait(240)  # if the keeper is killed, a whole proof follows
        if name == "attach":
            assert len(marked.processes()) == 3, told
            marked.end()
        nothing_is_left(marked, supervisors)
        if name in CLIENTS:
            until(partial(no_containers, name, process.pid))
        report = sound(folder / "r.json")
        if report is not None and victim == "guardian" and name.startswith("run"):
            assert report.recording.interrupted, told
            assert GUARDIAN_KILLED in report.recording.cautions, told
    except BaseException as error:
        error.add_note(f"{told}\n{(folder / 'log').read_text()[-2000:]}")
        raise
    finally:
        marked.end()


def disturb(name: str, folder: Path, disturbance: Callable[[list[int]], None]) -> Report:
    """Record while something happens that must change nothing; what came of it. Raises
    AssertionError where something is left or lost."""
    kind, marked = KINDS[name], Marked()
    process = started(kind, folder, marked.word)
    try:
        until(marked.processes)
        if name == "attach":  # it comes to a target that runs already
            until(lambda: "watching" in (folder / "log").read_text())
        time.sleep(0.5)
        disturbance([process.pid, *descendants(process.pid), *marked.processes()])
        process.send_signal(signal.SIGINT if name == "attach" else signal.SIGTERM)
        process.wait(60)
        if name == "attach":
            assert len(marked.processes()) == 3
            marked.end()
        nothing_is_left(marked, {process.pid})
        report = sound(folder / "r.json")
        assert report is not None, (folder / "log").read_text()
        return report
    finally:
        marked.end()


def suspend(name: str, seconds: float, folder: Path) -> None:
    """Let everything stand still, as a machine that sleeps."""

    def stop(pids: list[int]) -> None:
        for number in (signal.SIGSTOP, signal.SIGCONT):
            for pid in pids if number == signal.SIGSTOP else reversed(pids):
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
            time.sleep(seconds if number == signal.SIGSTOP else 0.5)

    disturb(name, folder, stop)


def turn_back(name: str, seconds: float, folder: Path) -> None:
    """Set the clock back, for a second."""

    def turn(_: list[int]) -> None:
        now, began = time.time(), time.monotonic()
        time.clock_settime(time.CLOCK_REALTIME, now - seconds)
        try:
            time.sleep(1)
        finally:
            time.clock_settime(time.CLOCK_REALTIME, now + time.monotonic() - began)

    report = disturb(name, folder, turn)
    assert 0 < report.recording.seconds < 60
    assert all(check.first < 60 for check in report.recording.checks)
