"""A client's command line that starts containers: recognized, and taken apart. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

from capadvise.formats.client_options import (
    CLIENT,
    COMPOSE,
    COMPOSE_RUN,
    COMPOSE_UP,
    PROGRAMS,
    RUN,
)
from capadvise.formats.pflag import Option, is_on, value_of, words

_OF_EXISTING = frozenset(("start", "restart", "exec", "create", "unpause", "attach"))
_WRAPPERS = frozenset(("sudo", "doas", "env", "timeout", "nice", "nohup", "setsid", "time"))


@dataclass(frozen=True, slots=True)
class Invocation:
    """``docker run``, ``podman run``, ``docker compose up`` or ``docker compose run``."""

    engine: str
    """``docker`` or ``podman``."""
    client: tuple[str, ...]
    """The program and the options before its command: ``docker -H unix:///…``."""
    verb: str
    """``run``, ``compose up`` or ``compose run``."""
    options: tuple[Option, ...]
    """Of the verb."""
    rest: tuple[str, ...]
    """The image, or the folder, and its command; the services; the service and its command."""
    compose: tuple[str, ...] = ()
    """The words that call compose: ``docker compose``, or ``docker-compose`` alone."""
    project: tuple[Option, ...] = ()
    """The options between ``compose`` and the verb."""

    @property
    def image(self) -> str | None:
        """The image that ``run`` runs; None where it runs a folder."""
        runs_image = self.verb == "run" and self.rest and self.rootfs is None
        return self.rest[0] if runs_image else None

    @property
    def rootfs(self) -> str | None:
        """The folder that ``podman run --rootfs`` runs: ``DIR``, ``DIR:O``."""
        return self.rest[0] if self.rest and is_on(self.options, "rootfs") else None

    @property
    def detached(self) -> bool:
        """The client ends at once, and the container goes on."""
        return is_on(self.options, "detach")

    @property
    def name(self) -> str | None:
        """The name that the user gave to the container."""
        return value_of(self.options, "name")

    def argv(self) -> tuple[str, ...]:
        """As a command line again."""
        start = (*self.compose, *words(self.project)) if self.compose else self.client
        return (*start, self.verb.split()[-1], *words(self.options), *self.rest)


def recognize(argv: Sequence[str]) -> Invocation | None:
    """The containers that a command line starts; None for any other command."""
    program = PurePath(argv[0]).name if argv else ""
    if program == "docker-compose":
        return _compose(("docker",), (argv[0],), argv[1:])
    if program not in PROGRAMS:
        return None
    engine = PROGRAMS[program]
    options, rest = CLIENT[engine].parse(argv[1:])
    client = (argv[0], *words(options))
    if program == "docker" and rest[:1] == ("compose",):
        return _compose(client, (*client, "compose"), rest[1:])
    rest = rest[1:] if rest[:1] == ("container",) else rest
    if rest[:1] != ("run",):
        return None
    given, rest = RUN.parse(rest[1:])
    if not rest or is_on(given, "help"):
        return None  # the client says what is wrong better than we could
    return Invocation(engine, client, "run", given, rest)


def behind(argv: Sequence[str]) -> Invocation | None:
    """The containers that a command starts through ``sudo`` and its like."""
    if PurePath(argv[0]).name not in _WRAPPERS:
        return None
    return next(filter(None, (recognize(argv[at:]) for at in range(1, len(argv)))), None)


def existing(argv: Sequence[str]) -> str | None:
    """What a client's command does with containers that are there already, as ``docker start``."""
    program = PurePath(argv[0]).name
    if program not in PROGRAMS:
        return None
    _, rest = CLIENT[PROGRAMS[program]].parse(argv[1:])
    if rest[:1] == ("compose",):
        rest = COMPOSE.parse(rest[1:])[1]
    verb = next(iter(rest[1:] if rest[:1] == ("container",) else rest), "")
    return f"{program} … {verb}" if verb in _OF_EXISTING else None


def _compose(
    client: tuple[str, ...], compose: tuple[str, ...], following: Sequence[str]
) -> Invocation | None:
    project, rest = COMPOSE.parse(following)
    verb = rest[0] if rest else ""
    if verb not in ("up", "run"):
        return None
    given, rest = (COMPOSE_UP if verb == "up" else COMPOSE_RUN).parse(rest[1:])
    if verb == "up":  # its options may stand between the services, too
        services: tuple[str, ...] = ()
        while rest:
            services += rest[:1]
            more, rest = COMPOSE_UP.parse(rest[1:])
            given += more
        rest = services
    if is_on(given, "help") or is_on(given, "no-start") or (verb == "run" and not rest):
        return None
    return Invocation("docker", client, f"compose {verb}", given, rest, compose, project)
