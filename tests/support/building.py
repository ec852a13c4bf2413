"""The programs that ``demos/release`` builds of a tree."""

from __future__ import annotations

import subprocess
from pathlib import Path

TOP = Path(__file__).parents[2]


def built(tree: Path, folder: Path, *options: str) -> Path:
    command = [tree / "demos/release/build", *options, folder]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder
