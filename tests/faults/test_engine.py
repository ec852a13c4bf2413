"""The container engine dies under a recording: one of the test's own, never the one that runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from capadvise.linux.kernel import procfs
from capadvise.linux.kernel.process_tree import descendants
from tests.faults.aftermath import nothing_is_left, sound
from tests.support import images
from tests.support.processes import Marked
from tests.support.required import tool
from tests.support.runs import CAPADVISE
from tests.support.wait import until

IMAGE = "capadvise-dies:1"


@dataclass(frozen=True)
class Engine:
    """A docker daemon, with the containerd that it starts itself."""

    daemon: subprocess.Popen[bytes]
    containerd: tuple[int, ...]
    socket: str

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


@pytest.fixture
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    folder = tmp_path_factory.mktemp("engine")
    socket = f"unix://{folder}/sock"
    words = ["--iptables=false", "--ip6tables=false", "--bridge=none", f"--host={socket}"]
    words += [f"--data-root={folder}/data", f"--exec-root={folder}/exec"]
    with (folder / "log").open("w") as log:
        daemon = subprocess.Popen(
            [tool("dockerd"), *words, f"--pidfile={folder}/pid"], stdout=log, stderr=log
        )
    called = ["docker", f"--host={socket}"]
    ready = ["docker", f"--host={socket}", "info"]
    until(
        lambda: not subprocess.call(ready, stdout=-3, stderr=-3),
        shows=(folder / "log").read_text,
    )
    images.box(folder / "box.tar", tool("busybox"))
    images.load(folder / "box.tar", IMAGE, called)
    one = Engine(daemon, tuple(descendants(daemon.pid)), socket)
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
    until(marked.processes)
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
