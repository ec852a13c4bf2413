"""A container as its engine describes it: ``docker inspect`` and ``podman inspect``. Pure."""

import json
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from capadvise.model.errors import BadInput

GRACE, LONGEST_GRACE = 10.0, 300.0
"""Seconds that an engine gives a container to stop by default, and the most that we give it."""
SERVICE_LABEL = "com.docker.compose.service"
PROJECT_LABEL = "com.docker.compose.project"


@dataclass(frozen=True, slots=True)
class ContainerMount:
    """A volume or a bind mount."""

    kind: str
    """``bind``, ``volume``, ``tmpfs``."""
    source: str
    """On the host."""
    destination: str
    writable: bool
    name: str | None = None
    """The name of a volume."""


@dataclass(frozen=True, slots=True)
class Container:
    """One container. Names, labels and arguments are hostile: escape before showing them."""

    engine: str
    id: str
    name: str
    image: str
    """The name of its image at its creation."""
    pid: int
    """Its first process, as the initial pid namespace counts; 0 if the container does not run."""
    running: bool
    has_ended: bool
    """At least once: it may run again."""
    user: str
    """The configured user: empty, a name, ``1000``, ``1000:1000``."""
    argv: tuple[str, ...]
    """Entrypoint and command."""
    labels: Mapping[str, str]
    healthcheck: tuple[str, ...]
    """``CMD-SHELL`` or ``CMD`` and the command; empty: none."""
    exit_status: int | None
    privileged: bool
    mounts: tuple[ContainerMount, ...] = ()
    upper: str | None = None
    """The folder in which overlayfs keeps the changes of the container."""
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """The whole description, for facts without a field."""

    @property
    def restarting(self) -> bool:
        """True if its engine waits before starting it again."""
        return bool((self.raw.get("State") or {}).get("Restarting"))

    @property
    def ports(self) -> list[int]:
        """The ports that its user publishes and its image exposes."""
        bound = (self.raw.get("HostConfig") or {}).get("PortBindings") or {}
        exposed = (self.raw.get("Config") or {}).get("ExposedPorts") or {}
        ports = (str(one).partition("/")[0] for one in (*bound, *exposed))
        return [int(port) for port in ports if port.isdecimal()]

    @property
    def stop_signal(self) -> int:
        """The signal that tells it to stop."""
        given = (self.raw.get("Config") or {}).get("StopSignal") or "SIGTERM"
        name = str(given).upper()
        if name.isdecimal():
            return int(name)
        return int(getattr(signal, f"SIG{name.removeprefix('SIG')}", signal.SIGTERM))

    @property
    def stop_seconds(self) -> float:
        """Seconds that its engine gives it to stop; a negative number in it stands for ever."""
        given = (self.raw.get("Config") or {}).get("StopTimeout")
        seconds = _number(given)
        return GRACE if seconds is None else seconds if seconds >= 0 else LONGEST_GRACE

    @property
    def health_log(self) -> tuple[str, ...]:
        """The outputs of its health check, the last at the end."""
        return tuple(str(one.get("Output") or "").strip() for one in self._health_tries)

    @property
    def last_health_try(self) -> tuple[int, str] | None:
        """Exit status and output of the last try of its health check."""
        tries = self._health_tries
        return (_number(tries[-1].get("ExitCode")) or 0, self.health_log[-1]) if tries else None

    @property
    def _health_tries(self) -> Sequence[Mapping[str, Any]]:
        state = self.raw.get("State") or {}
        return (state.get("Health") or state.get("Healthcheck") or {}).get("Log") or ()

    @property
    def service(self) -> str | None:
        """Its service in a compose project."""
        return self.labels.get(SERVICE_LABEL)


def parse_inspect(engine: str, text: str) -> tuple[Container, ...]:
    """Parse the output of ``inspect``. Raises BadInput if it describes no containers."""
    try:
        return tuple(_container(engine, item) for item in json.loads(text))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadInput(f"{engine} describes a container in a way that is not known") from error


def _mount(raw: dict[str, Any]) -> ContainerMount:
    return ContainerMount(
        _text(raw["Type"]),
        _text(raw.get("Source") or ""),
        _text(raw["Destination"]),
        bool(raw.get("RW", True)),
        _text(raw.get("Name") or "") or None,
    )


def _container(engine: str, raw: dict[str, Any]) -> Container:
    config, state, host = raw["Config"], raw["State"], raw["HostConfig"]
    running = state.get("Status") in ("running", "paused") or bool(state.get("Running"))
    storage = (raw.get("GraphDriver") or {}).get("Data") or {}
    return Container(
        engine=engine,
        id=_text(raw["Id"]),
        name=_text(raw["Name"]).removeprefix("/"),
        image=_text(raw.get("ImageName") or config.get("Image") or raw["Image"]),
        pid=int(state.get("Pid") or 0) if running else 0,
        running=running,
        has_ended=not str(state.get("FinishedAt") or "0001").startswith("0001"),
        user=_text(config.get("User") or ""),
        argv=(*_list(config.get("Entrypoint")), *_list(config.get("Cmd"))),
        labels={name: _text(value) for name, value in (config.get("Labels") or {}).items()},
        healthcheck=_healthcheck(config.get("Healthcheck") or {}),
        exit_status=None if running else _number(state.get("ExitCode")),
        privileged=bool(host.get("Privileged")),
        mounts=tuple(map(_mount, raw.get("Mounts") or ())),
        upper=_text(storage.get("UpperDir") or "") or None,
        raw=raw,
    )


def _list(value: Any) -> tuple[str, ...]:
    """podman before version 5 gives the entrypoint as one text."""
    if isinstance(value, str):
        return (value,) if value else ()
    return tuple(map(_text, value or ()))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    return value


def _number(value: Any) -> int | None:
    return value if type(value) is int else None


def _healthcheck(raw: Mapping[str, Any]) -> tuple[str, ...]:
    test = _list(raw.get("Test"))
    return () if test[:1] in ((), ("NONE",)) else test
