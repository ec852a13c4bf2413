"""podman-compose: docker compose, which knows all forms of its files, resolves them, and the result
is written in the forms that podman-compose reads. Tried with 1.3."""

import os
import shlex
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from capadvise.config.run.pflag import Option
from capadvise.kernel.sudo import as_root
from capadvise.model.errors import CannotObserve
from capadvise.targets.client.client import Client

_FILES = (
    *("compose.yaml", "compose.yml", "compose.override.yaml", "compose.override.yml"),
    *("podman-compose.yaml", "podman-compose.yml", "docker-compose.yml", "docker-compose.yaml"),
    *("docker-compose.override.yml", "docker-compose.override.yaml", "container-compose.yml"),
    *("container-compose.yaml", "container-compose.override.yml"),
    "container-compose.override.yaml",
)
"""``COMPOSE_DEFAULT_LS`` of podman_compose.py: it reads all that exist, in this order."""
_SHARED = ("file", "project-name", "env-file", "profile")


def for_docker(
    options: Iterable[Option],
    environment: Mapping[str, str] = os.environ,
    exists: Callable[[str], bool] = os.path.exists,
) -> tuple[Option, ...]:
    """Its options as docker compose takes them, with the files that it reads. Pure but
    ``exists``."""
    shared = tuple(option for option in options if option.name in _SHARED)
    if environment.get("COMPOSE_FILE") or any(option.name == "file" for option in shared):
        return shared
    return (*shared, *(Option("file", name) for name in _FILES if exists(name)))


def written(project: Mapping[str, Any]) -> dict[str, Any]:
    """A resolved project in the form that podman-compose reads. Pure."""
    services = {name: _service(service) for name, service in project["services"].items()}
    return {**project, "services": services}


def _service(service: Mapping[str, Any]) -> dict[str, Any]:
    changed = {key: value for key, value in service.items() if value is not None}
    if hosts := service.get("extra_hosts"):
        changed["extra_hosts"] = [host.replace("=", ":", 1) for host in hosts]
    if test := (service.get("healthcheck") or {}).get("test"):
        if test[0] == "CMD":  # podman-compose 1.3 quotes several words after it wrongly
            test = ["CMD-SHELL", shlex.join(test[1:])]
        changed["healthcheck"] = {**service["healthcheck"], "test": test}
    if devices := service.get("devices"):
        changed["devices"] = [_device(device) for device in devices]
    return changed


def _device(device: str | Mapping[str, str]) -> str:
    if isinstance(device, str):
        return device
    parts = (device.get(key) for key in ("source", "target", "permissions"))
    return ":".join(part for part in parts if part)


def require_rootful(podman: Client) -> None:
    """Raise CannotObserve if its podman is an ordinary user's, who cannot read our file."""
    if podman.call("info", "--format", "{{.Host.Security.Rootless}}").strip() == "true":
        raise rootless()


def rootless() -> CannotObserve:
    """The error for podman-compose of an ordinary user."""
    return CannotObserve(
        "podman-compose of an ordinary user cannot be recorded from its start",
        hint=f"start it, then watch each container: {as_root()} attach CONTAINER",
    )


def pod_of(project: str) -> str:
    """The pod that it makes for a project."""
    return f"pod_{project}"
