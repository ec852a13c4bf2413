"""What ``demos/release/build`` makes, once for all workers."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from tests.support.building import TOP, built


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    own = tmp_path_factory.getbasetemp()
    shared = own if worker_id == "master" else own.parent
    with (shared / "dist.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / "dist/SHA256SUMS").exists():
            built(TOP, shared / "dist", "--no-image")
    return shared / "dist"
