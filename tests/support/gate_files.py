"""Tables of files for the gate: by language, each a name and a text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

FILES = ("pod.yaml", "compose.yaml", "a.service", "a.container", "config.json")
"""What the gate takes for a manifest, a compose file, a unit, a quadlet and a bundle."""


def named(*languages: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """(file, name, text) of each, in the order of ``FILES``."""
    for file, texts in zip(FILES, languages, strict=True):
        for name, text in texts.items():
            yield file, name, text
