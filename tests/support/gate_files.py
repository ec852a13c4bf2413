"""Tables of files for the gate: by language, each a name and a text."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

FILES = ("pod.yaml", "compose.yaml", "a.service", "a.container", "config.json")
"""What the gate takes for a manifest, a compose file, a unit, a quadlet and a bundle."""


def parameters(*languages: Mapping[str, str]) -> list[object]:
    """(file, text) of each, in the order of ``FILES``."""
    return [
        pytest.param(file, text, id=f"{file}: {name}")
        for file, texts in zip(FILES, languages, strict=True)
        for name, text in texts.items()
    ]
