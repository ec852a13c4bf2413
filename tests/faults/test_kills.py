"""kill -9 of any one of our processes, at any moment: nothing runs on, and nothing is left."""

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

import pytest

from capadvise.linux.kernel import procfs
from tests.faults.aftermath import containers, nothing_is_left, ours, sound
from tests.support.containers import BOX
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


def _prove(folder: Path, word: str) -> list[str]:
    path = folder / "w.yaml"
    path.write_text(WORKLOAD.format(tree=TREE.format(word=word)))
    return [CAPADVISE, "prove", str(path), "-o", str(folder / "r.json")]


def _docker(folder: Path, word: str) -> list[str]:
    inside = ["docker", "run", "--rm", "--network=none", BOX, "sh", "-c", TREE.format(word=word)]
    return [CAPADVISE, "run", "-q", "-o", str(folder / "r.json"), "--", *inside]


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
    "attach": Kind(_attach, 0.5),
    "docker": Kind(_docker, 1.5),
}


def strike(root: int, dice: random.Random) -> str:
    """Kill one process of ours, whichever; what it was."""
    found = [(pid, kind) for pid, kind in ours(root).items() if procfs.state(pid) not in ("", "Z")]
    kinds = sorted({kind for _, kind in found})
    wanted = dice.choice(kinds) if kinds else "supervisor"  # as often as there are kinds
    for pid, kind in found:
        if kind == wanted:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            break
    return wanted


def no_containers(supervisor: int) -> bool:
    """Whether none that it recorded runs."""
    return not any(f" {supervisor}-" in line for line in containers("capadvise.recording"))


@pytest.mark.parametrize("name", KINDS)
def test_kill_9_at_any_moment(
    name: str, rounds: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    kind = KINDS[name]
    if name == "docker":
        request.getfixturevalue("boxes")
    for number in range(rounds):
        dice = random.Random(f"{name} {number}")
        marked = Marked()
        folder = tmp_path / str(number)
        folder.mkdir()
        log = folder / "log"
        told = f"{name}, round {number}"
        try:
            with log.open("w") as out:
                process = subprocess.Popen(
                    kind.argv(folder, marked.word), stdin=subprocess.DEVNULL, stdout=out, stderr=out
                )
            time.sleep(dice.uniform(0, 2 * kind.begins))
            supervisors = set(ours(process.pid))
            victim = strike(process.pid, dice)
            told += f": killed the {victim}"
            if name == "attach":
                assert len(marked.processes()) == 3, told
                process.send_signal(signal.SIGINT)
            if name == "prove" and victim == "stage":
                process.send_signal(signal.SIGINT)
            process.wait(60)
            if name == "attach":
                assert len(marked.processes()) == 3, told
                marked.end()
            nothing_is_left(marked, supervisors)
            if name == "docker":
                until(partial(no_containers, process.pid))
            report = sound(folder / "r.json")
            if report is not None and victim == "guardian" and name.startswith("run"):
                assert report.recording.interrupted, told
        except BaseException as error:
            error.add_note(f"{told}\n{log.read_text()[-2000:]}")
            raise
        finally:
            marked.end()
