"""A client's command line that starts containers: recognized, and taken apart. Pure."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import PurePath

from capadvise.config.run.pflag import Grammar, Option, is_on, value_of, words
from capadvise.model.target import CLIENTS, ENGINE_PROGRAMS

_WITH_OPTIONS = ("docker", "podman", "kubectl", "helm")
"""Clients whose options before the command are known."""
_OF_EXISTING = frozenset(("start", "restart", "exec", "create", "unpause", "attach", "watch"))
_WRAPPERS = frozenset(
    (
        *("sudo", "doas", "runuser", "setpriv", "unshare", "env", "timeout", "nice", "nohup"),
        *("ionice", "chrt", "setsid", "time", "chronic", "systemd-inhibit"),
    )
)
"""Programs that execute the words after them in a changed environment."""


@dataclass(frozen=True, slots=True)
class Invocation:
    """A call of ``docker run``, ``podman run``, ``docker compose`` or ``podman-compose``."""

    engine: str
    """``docker`` or ``podman``."""
    client: tuple[str, ...]
    """The program and the options before its command: ``docker -H unix:///…``; with the words
    before it: ``sudo -u ann podman``. The engine is always asked in this way."""
    verb: str
    """``run``, ``compose up`` or ``compose run``."""
    options: tuple[Option, ...]
    """The options of the verb."""
    rest: tuple[str, ...]
    """The image, or the folder, and its command; the services; the service and its command."""
    compose: tuple[str, ...] = ()
    """The words that call compose: ``docker compose``, or ``docker-compose`` alone, for example."""
    project: tuple[Option, ...] = ()
    """The options between ``compose`` and the verb."""

    @property
    def image(self) -> str | None:
        """The image that ``run`` runs; None if it runs a folder."""
        runs_image = self.verb == "run" and self.rest and self.rootfs is None
        return self.rest[0] if runs_image else None

    @property
    def rootfs(self) -> str | None:
        """The folder that ``podman run --rootfs`` runs: ``DIR``, ``DIR:O``."""
        return self.rest[0] if self.rest and is_on(self.options, "rootfs") else None

    @property
    def detached(self) -> bool:
        """True if the client ends at once, and the container goes on."""
        return is_on(self.options, "detach") or is_on(self.options, "wait")

    @property
    def reads(self) -> bool:
        """True if the container has the client's standard input."""
        return self.verb == "compose run" or is_on(self.options, "interactive")

    @property
    def name(self) -> str | None:
        """The name that the user gave to the container."""
        return value_of(self.options, "name")

    def argv(self) -> tuple[str, ...]:
        """The command line again."""
        start = (*self.compose, *words(self.project)) if self.compose else self.client
        options = words(self.options)
        if self.compose and self.engine == "podman":  # it has no long form of this one
            options = tuple("-T" if word == "--no-TTY" else word for word in options)
        return (*start, self.verb.split()[-1], *options, *self.rest)


def recognize(argv: Sequence[str]) -> Invocation | None:
    """The containers that a command line starts; None for any other command."""
    program = PurePath(argv[0]).name if argv else ""
    if program in _WRAPPERS:
        return _behind(argv)
    if program == "docker-compose":
        return _compose("docker", ("docker",), (argv[0],), *Grammar.of("compose").parse(argv[1:]))
    if program == "podman-compose":
        project, rest = Grammar.of("podman-compose").parse(argv[1:])
        return _compose("podman", _podman(project), (argv[0],), project, rest)
    if program not in ENGINE_PROGRAMS:
        return None
    engine = ENGINE_PROGRAMS[program]
    options, rest = Grammar.of(engine).parse(argv[1:])
    client = (argv[0], *words(options))
    if program == "docker" and rest[:1] == ("compose",):
        inner = Grammar.of("compose").parse(rest[1:])
        return _compose("docker", client, (*client, "compose"), *inner)
    rest = rest[1:] if rest[:1] == ("container",) else rest
    if rest[:1] != ("run",):
        return None
    given, rest = Grammar.of("run").parse(rest[1:])
    if not rest or is_on(given, "help"):
        return None  # the client says what is wrong better than we could
    return Invocation(engine, client, "run", given, rest)


def _behind(argv: Sequence[str]) -> Invocation | None:
    """Recognize a client behind ``sudo`` and others, whose words stay before all calls of it."""
    for at in range(1, len(argv)):
        if inner := recognize(argv[at:]):
            before = tuple(argv[:at])
            compose = (*before, *inner.compose) if inner.compose else ()
            return replace(inner, client=(*before, *inner.client), compose=compose)
    return None


def existing(argv: Sequence[str]) -> tuple[str, str] | None:
    """The part of a client's command that handles existing containers, such as ``docker start``, or
    makes containers for later; and the command to type instead."""
    program = PurePath(argv[0]).name
    before: tuple[str, ...] = (program,)
    words = _without_options(ENGINE_PROGRAMS.get(program, program), argv)
    if of_compose := program == "docker-compose" or (program, *words[:1]) == ("docker", "compose"):
        before = before if program == "docker-compose" else ("docker", "compose")
        words = Grammar.of("compose").parse(words[len(before) - 1 :])[1]
    elif program not in ENGINE_PROGRAMS:
        return None
    words = words[1:] if words[:1] == ("container",) else words
    if of_compose and words[:1] == ("up",) and "--no-start" in words:
        done = "up --no-start"
    elif (done := "".join(words[:1])) not in _OF_EXISTING:
        return None
    return " ".join((*before, done)), " ".join((*before, "up" if of_compose else "run"))


def starts_otherwise(argv: Sequence[str]) -> tuple[str, str] | None:
    """The part of a command that starts containers in another way, such as ``podman kube play``,
    and the command to type instead; None for any other command."""
    program = PurePath(argv[0]).name if argv else ""
    if program not in CLIENTS:
        return None
    from capadvise.catalog import default  # a target of another kind does not wait for it

    engine = ENGINE_PROGRAMS.get(program, program)
    words = _without_options(engine, argv)
    if engine == "kubectl" and words[:1] == ("create",):
        kind = Grammar.of(engine).parse(words[1:])[1][:1]
        if not default().names["kinds-without-pods"].isdisjoint(kind):
            return None
    plain = [word for word in words if not word.startswith("-")]
    plain = plain[1:] if plain[:1] == ["container"] else plain
    # For other clients, nobody knows here which options have a value.
    places = 1 if engine in _WITH_OPTIONS else len(plain)
    for command, instead in default().texts["starts-otherwise"].items():
        client, *verb = command.split()
        if client == engine and any(plain[at : at + len(verb)] == verb for at in range(places)):
            return " ".join((program, *verb)), instead
    return None


def _without_options(client: str, argv: Sequence[str]) -> tuple[str, ...]:
    """The words from the command on, if the options before it are known; else all words."""
    return Grammar.of(client).parse(argv[1:])[1] if client in _WITH_OPTIONS else tuple(argv[1:])


_BUILDERS = frozenset(("docker", "docker-compose", "nerdctl"))
"""Clients whose images are built by a daemon. podman builds by itself."""
_BUILDING = (("build",), ("bake",))


def builds(argv: Sequence[str]) -> str | None:
    """The part of a command that has a daemon build an image, or None: ``docker buildx build``."""
    program = PurePath(argv[0]).name if argv else ""
    if program not in _BUILDERS:
        return None
    words = _without_options(program, argv)
    if (program, *words[:1]) == ("docker-compose", "compose"):
        return None  # the plugin of ``docker compose``, which was handled before
    before = [program]
    if words[:1] in (("compose",), ("buildx",), ("builder",), ("image",)):
        before.append(words[0])
        words = words[1:]
    if before[-1].endswith("compose"):
        words = Grammar.of("compose").parse(words)[1]
    return " ".join((*before, *words[:1])) if words[:1] in _BUILDING else None


def _podman(project: Sequence[Option]) -> tuple[str, ...]:
    """The podman that podman-compose calls. Words that cannot be split make podman-compose fail."""
    from shlex import split

    more: list[str] = []
    for option in project:
        if option.name == "podman-args":
            with suppress(ValueError):
                more += split(option.value or "")
    return (value_of(project, "podman-path") or "podman", *more)


def _compose(
    engine: str,
    client: tuple[str, ...],
    compose: tuple[str, ...],
    project: tuple[Option, ...],
    rest: tuple[str, ...],
) -> Invocation | None:
    verb = rest[0] if rest else ""
    if verb not in ("up", "run"):
        return None
    given, rest = Grammar.of(f"compose {verb}").parse(rest[1:])
    if verb == "up":  # its options may stand between the services, too
        services: tuple[str, ...] = ()
        while rest:
            services += rest[:1]
            more, rest = Grammar.of("compose up").parse(rest[1:])
            given += more
        rest = services
    if is_on(given, "help") or is_on(given, "no-start") or (verb == "run" and not rest):
        return None
    return Invocation(engine, client, f"compose {verb}", given, rest, compose, project)
