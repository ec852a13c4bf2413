"""Names of a compose project's services, in a health check that runs on the host: they lead to the
containers of the recording, or of the trial, as they do inside the project. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence

from capadvise.targets.client.container import PROJECT_LABEL

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
"""In a mount namespace of its own, so that nothing of it stays."""


def check_of(script: str, client: Sequence[str], project: str, services: Iterable[str]) -> str:
    """The health check, with an /etc/hosts of its own where it names a service."""
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
