"""Whole outputs, in files that a reader sees in a diff."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parents[1] / "unit" / "golden"
OPTION = "--write-golden"


class Mode:
    """What pytest was told."""

    writes = False


def assert_golden(name: str, text: str, folder: Path = FOLDER) -> None:
    """Compare with the file of this name. ``pytest --write-golden`` writes it anew instead: read
    the difference before you commit it."""
    path = folder / name
    if Mode.writes:
        path.write_bytes(text.encode())
    assert text == path.read_bytes().decode()
