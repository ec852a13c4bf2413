"""docker as recordings and trials ask it: by its API, and by its client for what takes the user's
own words and credentials."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from capadvise.kernel.background import Background
from capadvise.targets.client.answer import NoAnswer
from capadvise.targets.client.api import Api, NotFound
from capadvise.targets.client.client import LINES, SECONDS, UP, Client, EngineError
from capadvise.targets.client.container import Container, parse_inspect


@dataclass(frozen=True, slots=True)
class DockerClient(Client):
    """A docker whose socket is known."""

    api: Api

    def inspect(self, *names: str) -> tuple[Container, ...]:
        """See ``Client``."""
        with _said():
            paths = (("containers", name, "json") for name in names)
            each = [self.api.get(*path, seconds=SECONDS) for path in paths]
        return parse_inspect(self.engine, json.dumps(each))

    def find(self, name: str) -> Container | None:
        """See ``Client``."""
        try:
            return self.inspect(name)[0]
        except NotThere:
            return None

    def id_of(self, image: str) -> str:
        """See ``Client``."""
        with _said():
            return str(self._image(image)["Id"])

    def storage_of(self, image: str) -> Any:
        """See ``Client``."""
        with _said():
            return self._image(image)["GraphDriver"]["Data"]

    def _image(self, image: str) -> Any:
        return self.api.get("images", image, "json", seconds=SECONDS)

    def place_of(self, volume: str) -> str:
        """See ``Client``."""
        with _said():
            return str(self.api.get("volumes", volume, seconds=SECONDS)["Mountpoint"])

    def logs(self, container: str) -> tuple[str, str]:
        """See ``Client``."""
        with _said():
            streams = self.api.logs(container, LINES, SECONDS)
        if streams is None:
            return Client.logs(self, container)
        out, err = (stream.decode(errors="backslashreplace") for stream in streams)
        return out.replace("\r\n", "\n"), err.replace("\r\n", "\n")

    def labelled(self, label: str) -> dict[str, bool]:
        """See ``Client``."""
        with _said():
            return {one["Id"]: one["Status"].startswith(UP) for one in self._listed(label=[label])}

    def all_ids(self) -> list[str]:
        """See ``Client``."""
        with _said():
            return [one["Id"] for one in self._listed()]

    def values_of(self, label: str) -> dict[str, str]:
        """See ``Client``."""
        with _said():
            values = {one["Id"]: one["Labels"][label] for one in self._listed(label=[label])}
        return {container: value for container, value in values.items() if value.split() == [value]}

    def _listed(self, **filters: list[str]) -> list[dict[str, Any]]:
        return list(self.api.get("containers", "json", seconds=SECONDS, all=1, filters=filters))

    def names(self, kind: str, like: str) -> list[str]:
        """See ``Client``."""
        with _said():
            listed = self.api.get(f"{kind}s", seconds=SECONDS, filters={"name": [like]})
            every = (listed["Volumes"] or ()) if kind == "volume" else listed
            return [one["Name"] for one in every]

    def labelled_networks(self, label: str) -> dict[str, str]:
        """See ``Client``."""
        with _said():
            listed = self.api.get("networks", seconds=SECONDS, filters={"label": [label]})
            return {one["Id"]: one["Labels"][label] for one in listed}

    @property
    def answers(self) -> bool:
        """Whether it is there, and may be asked."""
        with suppress(NoAnswer):
            self.api.do("GET", "_ping", seconds=SECONDS)
            return True
        return False

    def events(self, since: float, label: str) -> socket.socket:
        """What happens to containers with a label, as JSON, one a line, until it is closed. Raises
        EngineError."""
        with _said():
            return self.api.events(SECONDS, since=f"{since:.3f}", filters=_filters(label))

    def past_events(self, since: float, label: str) -> list[bytes]:
        """The same, of what has happened until now. Raises EngineError."""
        until = f"{time.time():.3f}"
        with _said():
            times = {"since": f"{since:.3f}", "until": until}
            read = self.api.read("events", seconds=SECONDS, filters=_filters(label), **times)
        return read.splitlines()

    def stop(self, ids: Iterable[str], seconds: float) -> None:
        """See ``Client``: all at once."""
        limit, patience = seconds + SECONDS, f"{seconds:.0f}"
        calls = [partial(self._post, one, "stop", seconds=limit, t=patience) for one in ids]
        for stopped in list(map(Background, calls)):
            stopped.wait()

    def kill(self, ids: Iterable[str]) -> None:
        """See ``Client``."""
        for container in ids:
            self._post(container, "kill")

    def _post(self, container: str, act: str, seconds: float = SECONDS, **query: str) -> None:
        with suppress(NoAnswer):  # it may be gone
            self.api.do("POST", "containers", container, act, seconds=seconds, **query)

    def remove_all(self, ids: Iterable[str]) -> None:
        """See ``Client``."""
        failed: EngineError | None = None
        for container in ids:  # one that stays keeps no other
            try:
                with _said(), suppress(NotFound):
                    self.api.do("DELETE", "containers", container, seconds=SECONDS, force=1, v=1)
            except EngineError as error:
                failed = failed or error
        if failed:
            raise failed


def _filters(label: str) -> dict[str, list[str]]:
    return {"type": ["container"], "label": [label]}


class NotThere(EngineError):
    """There is no such container."""


@contextmanager
def _said() -> Iterator[None]:
    """What the API says, as an EngineError."""
    try:
        yield
    except NotFound as error:
        raise NotThere(str(error)) from error
    except NoAnswer as error:
        raise EngineError(str(error)) from error
    except (KeyError, TypeError, AttributeError) as error:
        raise EngineError(f"docker: its answer is of an unknown form: {error!r:.80}") from error
