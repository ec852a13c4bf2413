"""What ``inspect`` found, as values: a process, an image. Nothing here reads or judges."""

from __future__ import annotations

from dataclasses import dataclass

from capadvise.model.caps import CapSet, Sets
from capadvise.model.posture import Posture

IMAGE, LAYOUT = "image:", "oci:"
"""Begin the name of an image that an engine has, and of a folder, as skopeo calls it."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """One process: what it holds and what restrains it. Names are hostile: escape them."""

    pid: int
    program: str
    argv: tuple[str, ...]
    sets: Sets
    posture: Posture
    container: str | None = None
    """``docker container web``; None where nobody was asked."""
    closed: tuple[tuple[str, CapSet], ...] | None = None
    """Calls that the filter refuses though the granted capabilities would open them, and those
    capabilities; None where the filter was not read."""
    unread: tuple[str, ...] = ()
    """What we may not look at, one sentence each."""

    @property
    def of_setuid_root(self) -> CapSet:
        """What a set-user-ID root program started from here would get (capabilities(7): the
        transformation at execve, with the whole set in the file)."""
        sets, posture = self.sets, self.posture
        if posture.no_new_privs:
            return sets.permitted & sets.ambient
        if "NOROOT" in (posture.securebits or ()):
            return sets.ambient
        return sets.bounding | sets.inheritable


@dataclass(frozen=True, slots=True)
class Riser:
    """A program of an image that gives its starter more than it has. The path is hostile."""

    path: str
    layer: int
    """From 1 at the bottom."""
    set_uid: int | None = None
    """The user that it runs as."""
    set_gid: int | None = None
    caps: CapSet = frozenset()
    """File capabilities: permitted."""


@dataclass(frozen=True, slots=True)
class ImageInspection:
    """What an image says of itself, and what lies in it. All texts are hostile."""

    name: str
    engine: str
    user: str
    """As in the Dockerfile; empty: root."""
    argv: tuple[str, ...]
    ports: tuple[str, ...]
    volumes: tuple[str, ...]
    healthcheck: tuple[str, ...]
    layers: int
    risers: tuple[Riser, ...]
    unread: tuple[str, ...] = ()
