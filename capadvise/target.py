"""What was recorded: a command, a container, a unit, the pods of a workload."""

from __future__ import annotations

import re

from capadvise.dataclass import dataclass

_USER = r"([A-Za-z0-9_][A-Za-z0-9_.-]{0,31})(?::([A-Za-z0-9_][A-Za-z0-9_.-]{0,31}))?"
"""``uid``, ``uid:gid``, or names."""
NO_ID = (1 << 32) - 1
"""The kernel's -1, which stands for no user: ids are below it."""


def is_user(text: str) -> bool:
    """Whether it can be what a target runs as."""
    return re.fullmatch(_USER, text) is not None


def is_no_id(digits: str) -> bool:
    """Whether they are too large a number for a user."""
    return len(digits) > len(str(NO_ID)) or int(digits) >= NO_ID


@dataclass(frozen=True, slots=True)
class Target:
    """What was run."""

    kind: str
    name: str
    argv: tuple[str, ...]
    cwd: str
    user: str
    """``uid:gid``."""
    image: str | None = None
    engine: str | None = None
    container: str | None = None
    """The id."""
    service: str | None = None
    """Of a compose project."""
    pod: str | None = None
    privileged: bool | None = None
    """Whether the engine was told so when it made the container; None where nobody can say."""
    owner: str | None = None
    """The workload whose pods have it, as ``Deployment/web``."""
    replicas: int | None = None
    """How many pods the workload had."""
