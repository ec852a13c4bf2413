"""A file of which nobody has said in which language it is."""

from __future__ import annotations

from functools import cached_property
from pathlib import PurePath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from capadvise.config.yaml.tree import Node


class UnknownFile:
    """Its path and text, and what is in it; JSON is YAML, too."""

    def __init__(self, path: str, text: str) -> None:
        self.path, self.text = path, text

    @property
    def name(self) -> str:
        """Without its folder."""
        return PurePath(self.path).name

    @cached_property
    def roots(self) -> tuple[Node, ...]:
        """One for each document. Raises BadInput, with the line, for what is not YAML."""
        from capadvise.config.yaml.reader import Documents

        return tuple(Documents(self.text).roots)

    @cached_property
    def json(self) -> object:
        """The value; None for what is not JSON."""
        import json

        try:
            return json.loads(self.text)
        except (ValueError, RecursionError):
            return None
