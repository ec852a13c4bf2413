"""Real engines, images made for the tests, and capadvise around their containers."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.support import images, runs
from tests.support.required import missing, tool

ENVIRONMENT = {**os.environ, "PODMAN_IGNORE_CGROUPSV1_WARNING": "1"}
PODMAN = ("podman", "--runtime", "runc")
CLIENTS = {"docker": ("docker",), "podman": PODMAN}
MARK = f"capadvise-test-{os.getpid()}"
"""Of this run: another one may go on beside it."""
IMAGE = f"{MARK}-formats:1"
BOX = f"{MARK}-box:1"
DEBIAN = f"{MARK}-debian:1"
REDIS = f"{MARK}-redis:1"


def call(*argv: str, timeout: float = 120, **options: object) -> subprocess.CompletedProcess[str]:
    """Run a program with a time limit; its output is text."""
    return subprocess.run(
        argv, capture_output=True, text=True, timeout=timeout, env=ENVIRONMENT, **options
    )


def record(report: Path, *words: str, options: tuple[str, ...] = (), **popen: Any) -> runs.Result:
    """``capadvise run [options] -- words``, with what it saw."""
    return runs.record(report, *words, options=options, **{"env": ENVIRONMENT, **popen})


def containers(engine: str, filters: str = f"name={MARK}") -> list[str]:
    """Names of the containers that are there, running or not."""
    words = ["ps", "--all", f"--filter={filters}", "--format={{.Names}}"]
    return call(*CLIENTS[engine], *words).stdout.split()


def trials_of(image: str, engine: str = "docker") -> list[str]:
    """The containers of trials of an image of ours: others may make trials at the same time."""
    filters = ("--filter=label=capadvise.trial", f"--filter=ancestor={image}")
    listed = call(*CLIENTS[engine], "ps", "--all", *filters, "--format={{.Names}}")
    assert listed.returncode == 0, listed.stderr
    return listed.stdout.split()


def owner_inside(engine: str, container: str, path: str) -> int | None:
    """To whom a file in a container that runs belongs; None where it does not run, or has none."""
    with suppress(OSError):
        return os.stat(f"{root_of(engine, container)}{path}").st_uid
    return None


def root_of(engine: str, container: str) -> str:
    """Where the root of a container that runs is on this machine."""
    words = ("inspect", "--format={{.State.Pid}}", container)
    return f"/proc/{call(*CLIENTS[engine], *words).stdout.strip()}/root"


def composed(folder: Path, *options: str) -> dict[str, Any]:
    """The services of a folder's files, or of those in ``options``, as compose understands them."""
    done = call("docker", "compose", *options, "config", "--format", "json", cwd=folder)
    assert done.returncode == 0, done.stderr
    services: dict[str, Any] = json.loads(done.stdout)["services"]
    return services


def box_images(folder: Path) -> Iterator[None]:
    """An image of busybox, in docker and in podman, as long as this is not resumed."""
    tar = folder / "box.tar"
    images.box(tar, tool("busybox"))
    yield from loaded(CLIENTS.values(), tar, {BOX: ()})


def loaded(
    clients: Iterable[Sequence[str]], tar: Path, changes: Mapping[str, Sequence[str]]
) -> Iterator[None]:
    """Images of one root file system, each with its changes, as long as this is not resumed."""
    if os.geteuid() != 0:
        missing("only root starts containers under capadvise")
    clients = list(clients)
    for client in clients:
        tool(client[0])
        if (state := call(*client, "version")).returncode:
            missing(f"{client[0]} does not answer: {state.stderr.strip()}")
        for image, words in changes.items():
            images.load(tar, image, client, *words)
    yield
    for client in clients:
        call(*client, "image", "rm", "-f", *changes)
