"""What a format gets to render."""

from __future__ import annotations

from dataclasses import dataclass

from capadvise.caps import Cap


@dataclass(frozen=True, slots=True)
class Snippet:
    """A name that is safe in every language, the capabilities with their reasons, and notes."""

    name: str
    caps: tuple[tuple[Cap, str], ...]
    notes: tuple[str, ...] = ()

    def comments(self, indent: str = "") -> str:
        """The notes as comment lines."""
        return "".join(f"{indent}# {note}\n" for note in self.notes)
