"""Which system calls default seccomp profiles open with a capability: ``catalog/seccomp.yaml``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from capadvise.catalog import values
from capadvise.model import strict
from capadvise.model.caps import Cap
from capadvise.model.errors import BadInput

ENGINES = ("docker", "podman")


@dataclass(frozen=True, slots=True)
class Profile:
    """The default profile of one engine, as far as capabilities change it."""

    opens: Mapping[Cap, tuple[str, ...]]
    """The calls that adding a capability opens; most open none and are not listed."""
    never: tuple[str, ...]
    """Calls that stay closed whatever is added."""
    notes: tuple[str, ...]
    source: str


def profiles_of(path: Path, raw: Any) -> Mapping[str, Profile]:
    """What the file holds, by engine; ``path`` is for messages.

    Raises BadInput with file and line.
    """
    strict.keys(path, raw, required=ENGINES)
    return MappingProxyType({engine: _profile(path, raw[engine]) for engine in ENGINES})


def _profile(path: Path, raw: Any) -> Profile:
    strict.keys(path, raw, required=("opens", "never", "notes", "source"))
    opens = raw["opens"]
    if not isinstance(opens, Mapping):
        raise BadInput(
            f"{strict.place(path, raw, 'opens')}: 'opens' must map capabilities to system calls"
        )
    return Profile(
        opens=MappingProxyType(
            {
                values.cap(path, opens, name): values.texts(path, opens, name)
                for name in opens
                if name != strict.LINE
            }
        ),
        never=values.texts(path, raw, "never"),
        notes=values.texts(path, raw, "notes"),
        source=values.text(path, raw, "source"),
    )
