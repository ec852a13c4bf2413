"""Images, as an inspection shows them. All text read here is hostile."""

from dataclasses import dataclass

from capadvise.model.caps import CapSet

IMAGE = "image:"
"""Begins the name of an image that an engine has."""


@dataclass(frozen=True, slots=True)
class Riser:
    """A program of an image that gives its starter more than it has. The path is hostile."""

    path: str
    layer: int
    """Its number, from 1 at the bottom."""
    set_uid: int | None = None
    """The user that it runs as."""
    set_gid: int | None = None
    caps: CapSet = frozenset()
    """File capabilities: permitted."""


@dataclass(frozen=True, slots=True)
class ImageInspection:
    """The description that an image has of itself, and its content. All texts are hostile."""

    name: str
    engine: str
    user: str
    """The user in the Dockerfile; empty: root."""
    argv: tuple[str, ...]
    ports: tuple[str, ...]
    volumes: tuple[str, ...]
    healthcheck: tuple[str, ...]
    layers: int
    risers: tuple[Riser, ...]
    unread: tuple[str, ...] = ()
