"""A compose project as compose itself resolves it, and as a file of ours beside the user's own."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from capadvise.errors import CannotObserve
from capadvise.formats.pflag import Option, words
from capadvise.linux.engines.cli.client import EngineError
from capadvise.linux.engines.cli.invocation import Invocation
from capadvise.linux.engines.record import compose
from capadvise.linux.engines.record.grant import recorded_service


def config(invocation: Invocation) -> dict[str, Any]:
    """The project: variables, ``extends``, ``include`` and several files made one.

    Raises EngineError with what compose says.
    """
    try:
        text = compose.config(invocation.compose, words(invocation.project))
    except compose.NotResolved as error:
        raise EngineError(str(error)) from error
    found = json.loads(text)
    if not isinstance(found, dict) or not isinstance(found.get("services"), dict):
        raise EngineError("docker compose resolves the project to no services")
    return found


def targets(invocation: Invocation, project: Mapping[str, Any]) -> tuple[str, ...]:
    """The services that are looked at: those named, else all. Raises CannotObserve."""
    named = invocation.rest[:1] if invocation.verb == "compose run" else invocation.rest
    for name in named:
        if name not in project["services"]:
            raise CannotObserve(f"the compose project has no service {name!r}")
    return tuple(named or project["services"])


def recorded(project: Mapping[str, Any], services: tuple[str, ...], label: str) -> dict[str, Any]:
    """The project for a recording: these services with every capability, the others as they are.

    Pure.
    """
    changed = {
        name: recorded_service(service, label) if name in services else service
        for name, service in project["services"].items()
    }
    return {**project, "services": changed}


def write(project: Mapping[str, Any], folder: Path) -> Path:
    """Write a project, for its owner alone: its environment can hold secrets."""
    path = folder / "compose.json"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        json.dump(project, file)
    return path


def of_file(invocation: Invocation, path: Path, name: str) -> Invocation:
    """The same call of compose, of another file. Its variables are resolved already."""
    gone = ("file", "project-name", "env-file", "project-directory")
    kept = tuple(option for option in invocation.project if option.name not in gone)
    ours = (Option("file", str(path)), Option("project-name", name))
    return replace(invocation, project=(*kept, *ours))
