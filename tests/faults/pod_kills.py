"""kill -9 of any one of our processes while a pod is watched: the pod goes on, and what was seen is
kept, unless the one that saw it was killed."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from capadvise.kernel import procfs
from tests.faults.aftermath import gone, ours, sound
from tests.faults.kills import TREE, strike
from tests.support.pods import Node, Pod
from tests.support.processes import Marked
from tests.support.runs import CAPADVISE
from tests.support.wait import until

_BEGINS = 1.0
"""Seconds until it watches, on a machine that has nothing else to do."""


@contextmanager
def watched(node: Node) -> Iterator[tuple[Pod, Marked]]:
    """A pod with a container that runs as long as this is not left."""
    marked = Marked()
    with node.pod("killed") as pod:
        pod.run("app", "sh", "-c", TREE.format(word=marked.word))
        until(lambda: len(marked.processes()) == 3)
        yield pod, marked


def kill_once(pod: Pod, marked: Marked, number: int, folder: Path) -> None:
    """Kill one process at one moment, while a container of the pod is started. Raises
    AssertionError where the pod suffers from it, or something is left or lost."""
    dice, log, reports = random.Random(f"pod {number}"), folder / "log", folder / "reports"
    told, before = f"pod, round {number}", marked.processes()
    reports.mkdir()
    with log.open("w") as out:
        process = subprocess.Popen(
            [CAPADVISE, "attach", "--no-tui", "-o", str(reports), f"{pod.namespace}/killed"],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    try:
        time.sleep(dice.uniform(0, _BEGINS))
        job = pod.run("job", "chown", "5", "/data")
        time.sleep(dice.uniform(0, _BEGINS))
        found = ours(process.pid)
        victim = strike(process.pid, dice)
        told += f": killed the {victim}"
        process.send_signal(signal.SIGINT)
        process.wait(240)
        assert pod.ended(job) == 0
        pod.remove(job)
        assert marked.processes() == before
        assert procfs.state(pod.node.pid) not in ("", "Z")
        gone(set(found))
        seen = [sound(path) for path in reports.iterdir()]
        if "watching" in log.read_text() and victim != "supervisor":
            assert "app" in {report.target.name for report in seen if report}
    except BaseException as error:
        error.add_note(f"{told}\n{log.read_text()[-2000:]}")
        process.kill()
        raise
