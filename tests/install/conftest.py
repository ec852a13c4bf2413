"""What ``demos/release/build`` makes, once for all workers."""

from __future__ import annotations

import fcntl
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]


def built(tree: Path, folder: Path) -> Path:
    done = subprocess.run(
        [tree / "demos/release/build", folder], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    own = tmp_path_factory.getbasetemp()
    shared = own if worker_id == "master" else own.parent
    with (shared / "dist.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / "dist/SHA256SUMS").exists():
            built(TOP, shared / "dist")
    return shared / "dist"
