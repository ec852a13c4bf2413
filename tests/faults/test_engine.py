"""The container engine dies under a recording: one of the test's own, never the one that runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from capadvise.kernel import procfs
from capadvise.kernel.process_tree import descendants
from tests.faults.aftermath import nothing_is_left, sound
from tests.support import images
from tests.support.processes import Marked
from tests.support.required import tool
from tests.support.runs import CAPADVISE
from tests.support.wait import until

IMAGE = "capadvise-dies:1"


class Engine:
    """A docker daemon, with the containerd that it starts itself."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.socket = folder, f"unix://{folder}/sock"
        self.client = ["docker", f"--host={self.socket}"]
        self.start()

    def start(self) -> None:
        words = ["--iptables=false", "--ip6tables=false", "--bridge=none", f"--host={self.socket}"]
        words += [f"--data-root={self._folder}/data", f"--exec-root={self._folder}/exec"]
        with (self._folder / "log").open("a") as log:
            self.daemon = subprocess.Popen(
                [tool("dockerd"), *words, f"--pidfile={self._folder}/pid"], stdout=log, stderr=log
            )
        ready = [*self.client, "info"]
        until(
            lambda: subprocess.run(ready, capture_output=True).returncode == 0,
            shows=(self._folder / "log").read_text,
        )
        self.containerd = tuple(descendants(self.daemon.pid))

    def has_told_of_a_start(self) -> bool:
        """Whether those who listen to its events have heard of a container that began."""
        words = ["events", "--since=1h", f"--until={time.time():.3f}", "--filter=event=start"]
        return bool(subprocess.check_output([*self.client, *words]))

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "DOCKER_HOST": self.socket}

    def kill(self) -> None:
        """kill -9 of both. What keeps its containers goes on."""
        if self.daemon.poll() is None:
            self.daemon.kill()
            self.daemon.wait()
        for pid in self.containerd:
            if "containerd" in " ".join(procfs.arguments(pid)[:1]):
                os.kill(pid, signal.SIGKILL)

    def restart(self) -> None:
        """As its unit does."""
        self.daemon.terminate()
        self.daemon.wait()
        self.start()


@pytest.fixture
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    folder = tmp_path_factory.mktemp("engine")
    one = Engine(folder)
    images.box(folder / "box.tar", tool("busybox"))
    images.load(folder / "box.tar", IMAGE, one.client)
    yield one
    one.kill()
    subprocess.run(f"umount -l {folder}/exec/netns/* {folder}/data", shell=True)


def test_the_engine_dies(engine: Engine, full: bool, marked: Marked, tmp_path: Path) -> None:
    inside = ["docker", "run", "--network=none", IMAGE, "sh", "-c"]
    inside += [f"chown 1 /data/file; exec sleep {marked.word}"]
    process = subprocess.Popen(
        [CAPADVISE, "run", "-o", str(tmp_path / "r.json"), "--", *inside],
        env=engine.environment,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    until(lambda: marked.processes() or process.poll() is not None)
    assert process.poll() is None, process.communicate()
    until(engine.has_told_of_a_start)
    time.sleep(0.5)
    engine.daemon.kill()
    engine.daemon.wait()
    if full:  # else its containerd goes on
        engine.kill()
    _, said = process.communicate(timeout=100)
    nothing_is_left(marked, {process.pid})
    report = sound(tmp_path / "r.json")
    assert report is not None, said
    assert report.recording.interrupted
    assert "Traceback" not in said
    assert "the engine ended and did not come back" in " ".join(said.split())
    assert json.loads((tmp_path / "r.json").read_text())["proposal"]["cap_add"] == ["CHOWN"]


def test_the_engine_is_restarted_in_the_middle_of_a_proof(
    engine: Engine, marked: Marked, tmp_path: Path
) -> None:
    """The trials so far are kept, none is judged that the engine has ended, and nothing is left."""
    volume, report = tmp_path / "data", tmp_path / "r.json"
    volume.mkdir()
    inside = ["docker", "run", "--rm", "--network=none", f"--volume={volume}:/mine", IMAGE]
    steps = "echo x >> /mine/count; chown 1 /data/file && chmod 600 /data/file && touch /up"
    script = f"trap 'exit 0' TERM; {steps}; sleep {marked.word} & wait"
    check = 'docker exec "$CONTAINER" test -e /up && sleep 1'
    words = ("run", "--prove", "--check", check, "-o", str(report), "--", *inside)
    process = subprocess.Popen(
        [CAPADVISE, *words, "sh", "-c", script],
        env=engine.environment,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )

    def trials() -> list[dict[str, Any]]:
        proof = json.loads(report.read_text())["proof"] if report.exists() else None
        made: list[dict[str, Any]] = proof["trials"] if proof else []
        return made

    until(trials, 100)  # the others are under way, side by side
    before = trials()
    engine.restart()
    _, said = process.communicate(timeout=200)
    nothing_is_left(marked, {process.pid})
    assert sound(report) is not None, said
    assert "Traceback" not in said
    assert trials()[: len(before)] == before
    labelled = [*engine.client, "ps", "--all", "--quiet", "--filter=label=capadvise.trial"]
    assert subprocess.check_output(labelled) == b""
    assert (volume / "count").read_text() == "x\n"
    needed = {"CAP_CHOWN", "CAP_FOWNER"}
    judged = [one for one in trials() if needed <= set(one["caps"]) and not one["passed"]]
    assert not judged, f"{judged}\n{said}"
    assert len(before) < 3, "the proof had all but ended"
