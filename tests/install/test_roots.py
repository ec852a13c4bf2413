"""The short form of ``tests.install.roots``: one clean root, what is downloaded and run there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from capadvise import __version__
from tests.install import roots


@pytest.mark.skipif(os.geteuid() != 0, reason="debootstrap and chroot are root's")
def test_what_is_built_installs_works_and_leaves_nothing(dist: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    roots.made("trixie", root)
    rows = {}
    for artefact in ("capadvise.pyz", f"capadvise_{__version__}_all.deb"):
        shutil.copy(dist / artefact, root / "dist")
        rows[artefact] = roots.tried(root, artefact)
    shutil.rmtree(root)  # 300 MB that pytest would keep
    assert all(map(roots.fine, rows.values())), rows
