"""Without capadvise: containers that have just a set, and a client that asks them for something."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.images.recipe import Recipe
from tests.support.containers import ENVIRONMENT, call

_FOREIGN = 1234
"""A user that no image knows."""
_EVERY = 0.2
_KILLED = 128 + signal.SIGKILL


@dataclass(frozen=True)
class Failed:
    """Where it went wrong, and what was said."""

    at: str
    words: str


@contextmanager
def volume(name: str) -> Iterator[str]:
    """A new named one."""
    call("docker", "volume", "create", name)
    try:
        yield name
    finally:
        call("docker", "volume", "rm", "--force", name)


@contextmanager
def foreign_folder() -> Iterator[str]:
    """An empty folder of the host that belongs to another user."""
    with tempfile.TemporaryDirectory() as top:
        folder = Path(top) / "data"
        folder.mkdir()
        os.chmod(top, 0o755)
        os.chown(folder, _FOREIGN, _FOREIGN)
        yield str(folder)


def words(recipe: Recipe, image: str, source: str | None, caps: Iterable[str]) -> list[str]:
    """``docker run`` of it, without docker's own words in front."""
    mount = ["--volume", f"{source}:{recipe.data}"] if source and recipe.data else []
    added = [f"--cap-add={cap}" for cap in caps]
    return ["--cap-drop=ALL", *added, *recipe.options, *mount, image, *recipe.arguments]


def serves(
    recipe: Recipe, image: str, source: str | None, caps: Iterable[str], *, must_stop: bool = False
) -> Failed | None:
    """Start it with these capabilities, ask it, stop it and start it again, and ask again: what
    fails first. ``must_stop``: also that docker has to kill it."""
    name = f"capadvise-{recipe.name}-{os.getpid()}"
    started = call("docker", "run", "--detach", "--name", name, *words(recipe, image, source, caps))
    try:
        if started.returncode:
            return Failed("start", started.stderr)
        if said := _asked(name, recipe.request, recipe.patience):
            return Failed("start", said)
        call("docker", "stop", name)
        if must_stop and _exit_code(name) == _KILLED:
            return Failed("stop", "it did not end when it was told to")
        call("docker", "start", name)
        if said := _asked(name, recipe.again or recipe.request, recipe.patience):
            return Failed("restart", said)
        return None
    finally:
        call("docker", "rm", "--force", "--volumes", name)


def _exit_code(container: str) -> int:
    return int(call("docker", "inspect", "--format", "{{.State.ExitCode}}", container).stdout)


def _asked(container: str, request: str, patience: float) -> str | None:
    """Ask until it answers: None, or what was said last, as it ended or the time was over."""
    until = time.monotonic() + patience
    while True:
        state = call(
            "docker", "inspect", "--format", "{{.State.Running}} {{.State.Pid}}", container
        )
        running, pid = state.stdout.split()
        if running != "true":
            logs = call("docker", "logs", "--tail", "5", container)
            return f"it ended: {logs.stdout}{logs.stderr}"
        asked = subprocess.run(
            ["timeout", "5", "bash", "-ec", f"net='nsenter --net --target {pid}'\n{request}"],
            env={**ENVIRONMENT, "CONTAINER": container, "PID": pid},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if asked.returncode == 0:
            return None
        if time.monotonic() > until:
            return f"no answer: {asked.stdout}{asked.stderr}"
        time.sleep(_EVERY)
