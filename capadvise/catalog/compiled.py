"""The facts that every run needs, in one JSON file: YAML would take 80 ms of each start.

``python -m tests.generate`` makes ``catalog/compiled.json`` of the YAML files (see
``compiling``), with their digest. If the digest differs, as while somebody edits them, the YAML
files are read instead.
"""

import json
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

from capadvise.catalog.askers import ASKERS

FILE = "compiled.json"


def digest(folder: Path) -> str:
    """One number for all files that the compiled file is made from."""
    whole = 0  # hashlib would take 3 ms to import, and this guards against editors alone
    for path in (
        folder / "preference.yaml",
        folder / "seccomp.yaml",
        folder / "signs.yaml",
        folder / ASKERS,
        folder / "errnos.yaml",
        folder / "exposures.yaml",
        folder / "host.yaml",
        folder / "platforms.yaml",
        folder / "foreign.yaml",
        folder / "clients.yaml",
        folder / "names.yaml",
        folder / "texts.yaml",
        *_parts(folder, "baselines"),
        *_parts(folder, "sites"),
        *_parts(folder, "capabilities"),
    ):
        whole = zlib.crc32(path.name.encode() + b"\0" + path.read_bytes() + b"\0", whole)
    return f"{whole:08x}"


def _parts(folder: Path, name: str) -> list[Path]:
    return sorted((folder / name).glob("*.yaml"))


def load(folder: Path) -> dict[str, Any] | None:
    """The compiled facts; None if they do not fit their sources."""
    with suppress(OSError, ValueError):
        facts: dict[str, Any] = json.loads((folder / FILE).read_text(encoding="utf-8"))
        if facts["digest"] == digest(folder):
            return facts
    return None
