"""What a format gets to render."""

from __future__ import annotations

import textwrap
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
        lines = [
            textwrap.wrap(note, 90, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}#   ")
            for note in self.notes
        ]
        return "".join(f"{line}\n" for note in lines for line in note)
