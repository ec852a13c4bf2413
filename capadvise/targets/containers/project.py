"""A compose project as compose itself resolves it, and as a file beside the user's own."""

import json
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from capadvise.config.run.pflag import Option, words
from capadvise.model.errors import BadInput, CannotObserve
from capadvise.targets.client.answer import NoAnswer
from capadvise.targets.client.client import EngineError
from capadvise.targets.client.invocation import Invocation
from capadvise.targets.containers import compose, podman_compose
from capadvise.targets.containers.grant import recorded_service


def config(invocation: Invocation) -> dict[str, Any]:
    """The project as docker compose resolves it, also for podman-compose: variables, ``extends``,
    ``include`` and several files are one. A service with profiles is not enabled.

    Raises EngineError with compose's message, and BadInput if it can be read only once.
    """
    called, options = list(invocation.compose), invocation.project
    if any((one.name, one.value) == ("file", "-") for one in options):
        raise BadInput(
            "the compose file is read from standard input, and is needed again for each trial",
            hint="write it into a file: docker compose --file FILE …",
        )
    try:
        if invocation.engine == "podman":
            called, options = compose.installed(), podman_compose.for_docker(options)
        document = json.loads(compose.config(called, words(options)))
        if not isinstance(document, dict) or not isinstance(document.get("services"), dict):
            raise EngineError("docker compose finds no services in the project")
    except NoAnswer as error:
        raise EngineError(str(error)) from error
    services = document["services"]
    if any(service.get("profiles") for service in services.values()):
        with suppress(NoAnswer):  # compose says why when it is to start them
            for name in compose.enabled(called, words(options)):
                services.get(name, {}).pop("profiles", None)
    return document


def targets(invocation: Invocation, project: Mapping[str, Any]) -> tuple[str, ...]:
    """The observed services: those named, else all enabled ones. Raises CannotObserve."""
    named = invocation.rest[:1] if invocation.verb == "compose run" else invocation.rest
    for name in named:
        if name not in project["services"]:
            raise CannotObserve(f"the compose project has no service {name!r}")
    enabled = (name for name, one in project["services"].items() if not one.get("profiles"))
    return tuple(named or enabled)


def recorded(
    project: Mapping[str, Any],
    services: tuple[str, ...],
    label: str,
    more: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The project with every capability for these services, and ``more`` labels on them. Pure."""
    changed = {
        name: with_labels(recorded_service(service, label), more) if name in services else service
        for name, service in project["services"].items()
    }
    return {**project, "services": changed}


def with_labels(service: Mapping[str, Any], more: Mapping[str, str] | None) -> dict[str, Any]:
    """Labels added to a service, or to a network. Pure."""
    return {**service, "labels": {**(service.get("labels") or {}), **(more or {})}}


def labelled(
    project: Mapping[str, Any], services: tuple[str, ...], more: Mapping[str, str]
) -> dict[str, Any]:
    """The project with labels on all services but these. Pure."""
    changed = {
        name: one if name in services else with_labels(one, more)
        for name, one in project["services"].items()
    }
    return {**project, "services": changed}


def with_labelled_networks(
    project: Mapping[str, Any], more: Mapping[str, str], there: Iterable[str]
) -> dict[str, Any]:
    """The project with labels on the networks that compose will make. Pure."""
    kept = set(there)
    networks = {
        key: network
        if (network or {}).get("external") or _name_of(project, key, network) in kept
        else with_labels(network or {}, more)
        for key, network in (project.get("networks") or {}).items()
    }
    return {**project, "networks": networks}


def _name_of(project: Mapping[str, Any], key: str, item: Mapping[str, Any] | None) -> str:
    """The engine's name for a network or volume. Pure."""
    return str((item or {}).get("name") or f"{project['name']}_{key}")


def closure(project: Mapping[str, Any], services: Iterable[str]) -> tuple[str, ...]:
    """These services and what they depend on. Pure."""
    wanted: dict[str, None] = {}
    todo = list(services)
    while todo:
        name = todo.pop()
        if name not in wanted and name in project["services"]:
            wanted[name] = None
            todo += project["services"][name].get("depends_on") or {}
    return tuple(wanted)


def only(project: Mapping[str, Any], services: Iterable[str]) -> dict[str, Any]:
    """The project with these services alone, and the volumes that they use. Pure."""
    kept = {name: project["services"][name] for name in services}
    used = {
        volume.get("source")
        for service in kept.values()
        for volume in service.get("volumes") or ()
        if volume.get("type") == "volume"
    }
    named = {key: item for key, item in (project.get("volumes") or {}).items() if key in used}
    return {**project, "services": kept, "volumes": named}


def in_place(project: Mapping[str, Any], is_there: Callable[[str], bool]) -> dict[str, Any]:
    """The project for containers of another name, with the networks and existing volumes of its
    own. ``is_there``: whether a volume exists."""
    changed: dict[str, Any] = {**project}
    for kind in ("volumes", "networks"):
        changed[kind] = {}
        for key, item in (project.get(kind) or {}).items():
            own = {"name": _name_of(project, key, item)}
            there = kind == "networks" or is_there(own["name"])
            changed[kind][key] = {**own, "external": True} if there else {**(item or {}), **own}
    changed["services"] = {
        key: {k: v for k, v in service.items() if k != "container_name"}
        for key, service in project["services"].items()
    }
    return changed


def write(project: Mapping[str, Any], folder: Path, engine: str) -> Path:
    """Write a project for its owner alone: its environment can hold secrets."""
    if engine == "podman":
        project = podman_compose.written(project)
    path = folder / "compose.json"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        json.dump(project, file)
    return path


def of_file(invocation: Invocation, path: Path, name: str) -> Invocation:
    """The same call of compose, of another file, whose variables and profiles are resolved."""
    gone = ("file", "project-name", "env-file", "project-directory", "profile")
    kept = tuple(option for option in invocation.project if option.name not in gone)
    ours = (Option("file", str(path)), Option("project-name", name))
    return replace(invocation, project=(*kept, *ours))
