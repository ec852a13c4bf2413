"""Calling an engine through its own command line, which knows its contexts and its credentials."""

import json
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capadvise.model.errors import CannotObserve, CapadviseError
from capadvise.targets.client.answer import NoAnswer, answer_of
from capadvise.targets.client.container import PROJECT_LABEL, Container, parse_inspect

SECONDS = 60.0
"""The limit for one answer; an engine under load takes seconds."""
UP = ("Up", "Restarting")
"""The status of a container that ``ps`` lists by default begins with one of these: it runs, is
paused, or is about to be started again."""
LINES = 2000
"""The most lines that are read of a container's log: all of it can be more than memory holds."""
RECORDING_LABEL = "capadvise.recording"
"""Its value is the ``mark`` of the capadvise that made the container with every capability."""
TRIAL_LABEL = "capadvise.trial"
STOPPED_LABEL = "capadvise.stopped"
"""A container that replaces others has this label with their ids, which are to be started again."""


class EngineError(CapadviseError):
    """The engine said no; the message is its last line."""

    exit_code = CannotObserve.exit_code


@dataclass(frozen=True, slots=True)
class Client:
    """An engine's command line."""

    engine: str
    """Its name in ``registry.ENGINES``."""
    argv: tuple[str, ...]
    """The program, with the options that choose the engine."""

    def call(self, *words: str, seconds: float = SECONDS) -> str:
        """Run a command of the client and return what it printed. Raises EngineError."""
        return self._run(words, seconds).stdout

    def _run(
        self, words: Sequence[str], seconds: float = SECONDS
    ) -> subprocess.CompletedProcess[str]:
        if shutil.which(self.argv[0]) is None:
            raise EngineError(f"{self.argv[0]} is not installed")
        try:
            return answer_of([*self.argv, *words], self.engine, seconds)
        except NoAnswer as error:
            raise EngineError(str(error)) from error

    def inspect(self, *names: str) -> tuple[Container, ...]:
        """Containers by name or id. Raises EngineError if one is not there."""
        return parse_inspect(self.engine, self.call("container", "inspect", *names))

    def find(self, name: str) -> Container | None:
        """A container by name or id, or None. Raises EngineError if the engine does not answer."""
        try:
            return self.inspect(name)[0]
        except EngineError as error:
            if "no such container" in str(error).lower():
                return None
            raise

    def described_image(self, image: str) -> str:
        """The engine's JSON description of an image. Raises EngineError if it is not there."""
        return self.call("image", "inspect", "--", image)

    def id_of(self, image: str) -> str:
        """The id of an image. Raises EngineError if it is not there."""
        return self.call("image", "inspect", "--format", "{{.Id}}", image).strip()

    def storage_of(self, image: str) -> Any:
        """The folders with the layers of an image. Raises EngineError if it is not there."""
        words = ("image", "inspect", "--format", "{{json .GraphDriver.Data}}", image)
        return json.loads(self.call(*words))

    def layers_of(self, image: str) -> list[Path]:
        """The layers of an image, the topmost first; none if its storage is no overlay."""
        with suppress(EngineError, AttributeError, KeyError, TypeError, ValueError):
            storage = self.storage_of(image)
            paths = f"{storage.get('UpperDir') or ''}:{storage.get('LowerDir') or ''}"
            return [Path(path) for path in paths.split(":") if path]
        return []

    def place_of(self, volume: str) -> str:
        """The folder of a volume on this machine. Raises EngineError if it is not there."""
        return self.call("volume", "inspect", "--format", "{{.Mountpoint}}", volume).strip()

    def pull(self, image: str, platform: str | None = None) -> None:
        """Pull an image if it is not there. Raises EngineError if that fails."""
        with suppress(EngineError):
            self.id_of(image)
            return
        words = ["pull", "--quiet", *([f"--platform={platform}"] if platform else []), image]
        try:
            self.call(*words, seconds=3600)
        except EngineError as error:
            why = f"the image {image} is not there and cannot be pulled: {error}"
            raise EngineError(why) from None

    def copy_of(self, image: str, path: str, to: Path, label: str) -> None:
        """Copy a file of an image. Raises EngineError if it is not there."""
        held = self.call("create", f"--label={label}", image, "true").split()[-1]
        try:
            self.call("cp", "-a", f"{held}:{path}", str(to))
        finally:
            self.remove_all([held])

    def logs(self, container: str) -> tuple[str, str]:
        """The last lines of its output and its errors. Raises EngineError if there is no log."""
        done = self._run(["logs", f"--tail={LINES}", container])
        return done.stdout, done.stderr

    def labelled(self, label: str) -> dict[str, bool]:
        """The containers with a label, ``KEY`` or ``KEY=VALUE``: id → whether it runs."""
        words = ("ps", "--all", "--no-trunc", "--filter", f"label={label}")
        lines = self.call(*words, "--format", "{{.ID}} {{.Status}}").splitlines()
        listed = (line.partition(" ") for line in lines)
        return {container: status.startswith(UP) for container, _, status in listed}

    def all_ids(self) -> list[str]:
        """The ids of all containers, running or not. Raises EngineError."""
        return self.call("ps", "--all", "--quiet", "--no-trunc").split()

    def values_of(self, label: str) -> dict[str, str]:
        """The containers with a label: id → its value, if that is one word. Raises EngineError."""
        form = f'--format={{{{.ID}}}} {{{{.Label "{label}"}}}}'
        listed = self.call("ps", "--all", "--no-trunc", f"--filter=label={label}", form)
        pairs = (line.split() for line in listed.splitlines())
        return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}

    def names(self, kind: str, like: str) -> list[str]:
        """Networks or volumes (``kind``: the singular), by a part of the name. Raises
        EngineError."""
        return self.call(kind, "ls", f"--filter=name={like}", "--format={{.Name}}").split()

    def labelled_networks(self, label: str) -> dict[str, str]:
        """The networks with a label: id → its value. Raises EngineError."""
        form = f'--format={{{{index .Labels "{label}"}}}}'
        values: dict[str, str] = {}
        for network in self.call("network", "ls", "--quiet", f"--filter=label={label}").split():
            with suppress(EngineError):  # it is gone by now
                values[network] = self.call("network", "inspect", form, network).strip()
        return values

    def stop(self, ids: Iterable[str], seconds: float) -> None:
        """SIGTERM (or the image's own stop signal), and SIGKILL for what ignores it."""
        if ids := tuple(ids):
            with suppress(EngineError):  # it may be gone
                self.call("stop", f"--time={seconds:.0f}", *ids, seconds=seconds + SECONDS)

    def start(self, ids: Iterable[str]) -> None:
        """Start again what was stopped. Raises EngineError."""
        if ids := tuple(ids):
            self.call("start", *ids)

    def kill(self, ids: Iterable[str]) -> None:
        """SIGKILL, at once."""
        if ids := tuple(ids):
            with suppress(EngineError):
                self.call("kill", *ids)

    def remove(self, ids: Iterable[str]) -> None:
        """Do as much of ``remove_all`` as works."""
        with suppress(EngineError):
            self.remove_all(ids)

    def remove_labelled(self, label: str) -> None:
        """``remove_all`` of the containers with a label."""
        self.remove_all(self.labelled(label))

    def remove_all(self, ids: Iterable[str]) -> None:
        """Kill and remove, with anonymous volumes. Raises EngineError if one may be left."""
        if ids := tuple(ids):
            try:
                self.call(*RM, *ids)
            except EngineError:
                if self.engine != "podman":
                    raise
                self.call(*RM_DEPENDENT, *ids)


def made_for(project: str) -> dict[str, list[str]]:
    """The commands that list what else compose makes for a project, by kind."""
    label = f"--filter=label={PROJECT_LABEL}={project}"
    return {kind: [kind, "ls", "--quiet", label] for kind in ("volume", "network")}


RM = ("rm", "--force", "--volumes")
RM_DEPENDENT = (*RM, "--depend")
"""podman 4 and later needs this for containers of podman-compose, which depend on each other: it
removes no container that another one depends on."""


def rm_by_label(argv: Sequence[str], label: str, removal: Sequence[str] = RM) -> list[list[str]]:
    """The commands by which the guardian lists containers and removes what was listed."""
    return [
        [*argv, "ps", "--all", "--quiet", "--no-trunc", "--filter", f"label={label}"],
        [*argv, *removal],
    ]
