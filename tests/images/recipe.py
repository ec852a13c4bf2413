"""One image: what it is made of, how it is started, what a client asks of it. See ``recipes``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import yaml

FOLDER = Path(__file__).parent / "recipes"


@dataclass(frozen=True)
class Recipe:
    """A file of ``recipes``; its keys are the fields here."""

    name: str
    packages: tuple[str, ...]
    """Debian packages of this machine, by pattern; each with the libraries that it loads."""
    install: tuple[str, ...]
    """What of them tests/run does not install, and what the client needs."""
    changes: tuple[str, ...]
    """Lines of a Dockerfile: ENTRYPOINT, CMD, ENV, USER."""
    request: str
    """Shell on the host: what a client does. ``$PID``, ``$CONTAINER``; ``$net`` enters its network.
    """
    again: str = ""
    """What it asks after a restart, where that is something else: that data is still there."""
    data: str | None = None
    """Where its volume is."""
    options: tuple[str, ...] = ()
    """Further ones of ``docker run``."""
    arguments: tuple[str, ...] = ()
    """After the image."""
    static: dict[str, str] = field(default_factory=dict)
    """Instead of packages, for an image that is nothing but a program: name → program here."""
    files: dict[str, str] = field(default_factory=dict)
    """Path → text; what is below usr/local/bin, or begins with ``#!``, is made executable."""
    owners: dict[str, str] = field(default_factory=dict)
    """Path of a folder → name of the user that owns it, as a Dockerfile's chown makes it."""
    filecaps: dict[str, str] = field(default_factory=dict)
    """Path → capability, as a Dockerfile's setcap gives it."""
    patience: float = 10
    """Seconds in which it answers, on a busy machine."""


def recipe(name: str) -> Recipe:
    """Read one."""
    content = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    lists = {key: tuple(value) for key, value in content.items() if isinstance(value, list)}
    return Recipe(name, **{"packages": (), "install": (), **content, **lists})


def names() -> list[str]:
    """Of all of them."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))
