"""A client's command line that starts containers: recognized, and taken apart. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

from capadvise.formats.pflag import Grammar, Option, is_on, value_of, words
from capadvise.formats.run_flags import RUN

_DOCKER = Grammar(
    frozenset(("debug", "tls", "tlsverify", "version", "help")),
    {"c": "context", "D": "debug", "H": "host", "l": "log-level", "v": "version"},
)
_PODMAN = Grammar(
    frozenset(("noout", "remote", "syslog", "transient-store", "trace", "help", "version")),
    {"c": "connection", "r": "remote", "v": "version"},
)
_CLIENTS = {
    "docker": ("docker", _DOCKER),
    "podman": ("podman", _PODMAN),
    "podman-remote": ("podman", _PODMAN),
}
"""Program → its engine, and the options before its command."""
_COMPOSE = Grammar(
    frozenset(("all-resources", "compatibility", "dry-run", "verbose", "no-ansi", "help")),
    {"f": "file", "p": "project-name"},
)
_COMPOSE_UP = Grammar(
    frozenset(
        (
            *("abort-on-container-exit", "abort-on-container-failure", "always-recreate-deps"),
            *("attach-dependencies", "build", "detach", "force-recreate", "menu", "no-build"),
            *("no-color", "no-deps", "no-log-prefix", "no-recreate", "no-start", "quiet-pull"),
            *("quiet-build", "remove-orphans", "renew-anon-volumes", "timestamps", "wait"),
            *("watch", "yes", "help"),
        )
    ),
    {"d": "detach", "V": "renew-anon-volumes", "w": "watch", "y": "yes", "t": "timeout"},
)
_COMPOSE_RUN = Grammar(
    frozenset(
        (
            *("build", "detach", "interactive", "no-TTY", "no-tty", "no-deps", "quiet-pull"),
            *("quiet-build", "quiet", "remove-orphans", "rm", "service-ports", "use-aliases"),
            *("tty", "help"),
        )
    ),
    {
        **{"d": "detach", "i": "interactive", "T": "no-TTY", "P": "service-ports", "t": "tty"},
        **{"q": "quiet", "e": "env", "l": "label", "p": "publish", "u": "user", "v": "volume"},
        "w": "workdir",
    },
)


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
    """The image and its command; the services; the service and its command."""
    compose: tuple[str, ...] = ()
    """The words that call compose: ``docker compose``, or ``docker-compose`` alone."""
    project: tuple[Option, ...] = ()
    """The options between ``compose`` and the verb."""

    @property
    def image(self) -> str | None:
        """What ``run`` runs."""
        return self.rest[0] if self.verb == "run" and self.rest else None

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
    if program not in _CLIENTS:
        return None
    engine, own = _CLIENTS[program]
    options, rest = own.parse(argv[1:])
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
    if program not in _CLIENTS:
        return None
    _, rest = _CLIENTS[program][1].parse(argv[1:])
    if rest[:1] == ("compose",):
        rest = _COMPOSE.parse(rest[1:])[1]
    verb = next(iter(rest[1:] if rest[:1] == ("container",) else rest), "")
    return f"{program} … {verb}" if verb in _OF_EXISTING else None


def _compose(
    client: tuple[str, ...], compose: tuple[str, ...], following: Sequence[str]
) -> Invocation | None:
    project, rest = _COMPOSE.parse(following)
    verb = rest[0] if rest else ""
    if verb not in ("up", "run"):
        return None
    given, rest = (_COMPOSE_UP if verb == "up" else _COMPOSE_RUN).parse(rest[1:])
    if verb == "up":  # its options may stand between the services, too
        services: tuple[str, ...] = ()
        while rest:
            services += rest[:1]
            more, rest = _COMPOSE_UP.parse(rest[1:])
            given += more
        rest = services
    if is_on(given, "help") or is_on(given, "no-start") or (verb == "run" and not rest):
        return None
    return Invocation("docker", client, f"compose {verb}", given, rest, compose, project)
