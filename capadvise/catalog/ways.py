"""Ways to do without a capability: what to write, and where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

from capadvise.catalog import values
from capadvise.model import strict
from capadvise.model.errors import BadInput


class EditPlace(IntEnum):
    """Where an edit goes; the easier one has the lower number."""

    COMPOSE = 0
    """Below the service in a compose file."""
    DOCKER = 1
    """Options of ``docker run``."""
    KUBERNETES = 2
    """Below ``spec:`` of the pod."""
    PODMAN = 3
    """Options of ``podman run``."""
    SYSTEMD = 4
    """In the unit of the service."""
    DOCKERFILE = 5
    PROGRAM = 6
    """How the program is called or configured."""
    SYSCTL = 7
    """A setting of the host, ``name=value``."""
    HOST = 8
    """A command on the host."""

    @property
    def key(self) -> str:
        """Its name in the catalog's files."""
        return self.name.lower()


LABELS: Mapping[EditPlace, str] = {
    EditPlace.COMPOSE: "compose",
    EditPlace.DOCKER: "docker run",
    EditPlace.KUBERNETES: "Kubernetes",
    EditPlace.PODMAN: "podman run",
    EditPlace.SYSTEMD: "systemd",
    EditPlace.DOCKERFILE: "Dockerfile",
    EditPlace.PROGRAM: "program",
    EditPlace.SYSCTL: "host sysctl",
    EditPlace.HOST: "host shell",
}
WHERE_TO = (
    "Where to write it: compose, below the service; Kubernetes, below the pod's spec (Helm: the "
    "template); systemd, in the [Service] section; program, where it is called or configured; host "
    "sysctl, with sysctl -w and in /etc/sysctl.d. Names, numbers and paths are examples."
)
"""For the reader of edits."""

Edits = tuple[tuple[EditPlace, str], ...]
"""(where, what to write), the easiest first; the text can have several lines."""


@dataclass(frozen=True, slots=True)
class Remediation:
    """A way to do without: the need, and what to do."""

    need: str
    do: str
    sites: tuple[str, ...] | None
    """The site rules (globs over their ids) of the uses that this answers: None is every use,
    and an empty list is advice for something else than a use that was seen."""
    edits: Edits = ()


def parse_remediation(path: Path, raw: Any) -> Remediation:
    """One entry of the list ``remediation``."""
    return Remediation(
        values.text(path, raw, "need"),
        values.text(path, raw, "do"),
        values.texts(path, raw, "sites") if "sites" in raw else None,
        parse_edits(path, raw),
    )


def parse_edits(path: Path, raw: Any) -> Edits:
    """The mapping ``edits``, sorted by place; nothing where it is missing."""
    edits = raw.get("edits", {})
    keys = [place.key for place in EditPlace]
    strict.keys(path, edits, required=(), optional=keys)
    for key in edits:
        if key != strict.LINE and not (isinstance(edits[key], str) and edits[key].strip()):
            raise BadInput(f"{strict.place(path, edits, key)}: {key!r} must be a text")
    return tuple((place, edits[place.key].strip("\n")) for place in EditPlace if place.key in edits)
