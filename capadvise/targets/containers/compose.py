"""docker compose's view of its files: variables, ``extends``, ``include``, several files; and
health checks that name its services."""

import re
import shlex
import shutil
from collections.abc import Iterable, Mapping, Sequence

from capadvise.config.compose import OFFLINE
from capadvise.targets.client.answer import MEMORY, NoAnswer, answer_of
from capadvise.targets.client.container import PROJECT_LABEL

SECONDS = 30.0
"""It reads files and variables; one that takes longer hangs."""


def resolved(paths: Sequence[str], *, variables: bool = True) -> str:
    """The project of these files as JSON, with the services of all profiles; later files override
    earlier ones. Without ``variables``, they stay as they are. Raises NoAnswer."""
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
    """The JSON that ``compose [options] config`` prints. Raises NoAnswer."""
    argv = [*compose, *options, "--profile", "*", "config", "--format", "json", *more]
    return answer_of(argv, "docker compose", SECONDS, environment=environment, memory=MEMORY).stdout


def installed() -> list[str]:
    """The plugin of docker's client, or the separate program. Raises NoAnswer."""
    if shutil.which("docker"):
        return ["docker", "compose"]
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    raise NoAnswer("docker compose is not installed")


_ADDRESSES = (
    "{{range .NetworkSettings.Networks}}{{if .IPAddress}}{{.IPAddress}}"
    "{{range .Aliases}} {{.}}{{end}}{{println}}{{end}}{{end}}"
)
_OWN_HOSTS = """\
mount -t tmpfs none /tmp
{ echo "$CAPADVISE_HOSTS"; cat /etc/hosts; } > /tmp/hosts
mount --bind /tmp/hosts /etc/hosts
umount /tmp
"""
"""A mount namespace undoes all of it at the end."""


def with_service_names(
    script: str, client: Sequence[str], project: str, services: Iterable[str]
) -> str:
    """The health check, with an own /etc/hosts if it names a service."""
    if not any(_names(script, service) for service in services):
        return script
    engine = shlex.join(client)
    listed = f"{engine} ps -q --filter {shlex.quote(f'label={PROJECT_LABEL}={project}')}"
    inspect = f"{engine} inspect --format {shlex.quote(_ADDRESSES)} $({listed})"
    inside = f"set -e\n{_OWN_HOSTS}{script}"
    return (
        f"CAPADVISE_HOSTS=$({inspect})\nexport CAPADVISE_HOSTS\n"
        f'exec unshare --mount "${{BASH:-/bin/sh}}" -ec {shlex.quote(inside)}'
    )


def _names(script: str, service: str) -> bool:
    return bool(re.search(rf"(?<![\w.$-]){re.escape(service)}(?![\w-])", script))
