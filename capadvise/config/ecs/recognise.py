"""Which files are task definitions."""

from __future__ import annotations

from capadvise.config.language import UnknownFile
from capadvise.config.yaml.tree import EMPTY, entries


def claims(file: UnknownFile) -> bool:
    """At the top, as ``register-task-definition`` takes it, or below a key, as
    ``describe-task-definition`` prints it."""
    return any(
        "containerDefinitions" in entries(place)
        for root in file.roots
        for place in (root, entries(root).get("taskDefinition", EMPTY))
    )
