"""What docker compose makes of its files: variables, ``extends``, ``include``, several files."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence

from capadvise.config.compose import OFFLINE
from capadvise.targets.client.answer import NoAnswer, answer_of

SECONDS = 30.0
"""It reads files and variables; one that takes longer hangs."""


def resolved(paths: Sequence[str], *, variables: bool = True) -> str:
    """The project of these files, later ones overriding earlier ones, as JSON; with the services
    of all profiles. Variables can be left as they are: one that must be set need not be then.
    Raises NoAnswer."""
    files = [word for path in paths for word in ("--file", path)]
    more = ["--no-consistency", *(() if variables else ("--no-interpolate",))]
    return config(installed(), files, *more, environment=OFFLINE)


def enabled(compose: Sequence[str], options: Sequence[str]) -> list[str]:
    """The services that ``compose [options] up`` starts: of no profile, or of one that the user's
    options, variables or ``.env`` file enable. Raises NoAnswer."""
    argv = [*compose, *options, "config", "--services"]
    return answer_of(argv, "docker compose", SECONDS).stdout.split()


def config(
    compose: Sequence[str],
    options: Sequence[str],
    *more: str,
    environment: Mapping[str, str] | None = None,
) -> str:
    """What ``compose [options] config`` makes of a project, as JSON. Raises NoAnswer."""
    argv = [*compose, *options, "--profile", "*", "config", "--format", "json", *more]
    return answer_of(argv, "docker compose", SECONDS, environment=environment).stdout


def installed() -> list[str]:
    """The plugin of docker's command line, or the program of its own. Raises NoAnswer."""
    if shutil.which("docker"):
        return ["docker", "compose"]
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    raise NoAnswer("docker compose is not installed")
