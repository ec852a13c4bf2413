"""Folders of ours below /tmp or /var/tmp, and those that a killed capadvise left there."""

from __future__ import annotations

import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from capadvise.kernel import libc, procfs

_PREFIX = "capadvise-trial-"
SMALL, LARGE = Path("/tmp"), Path("/var/tmp")
"""The first can be in memory."""


@contextmanager
def scratch(place: Path = SMALL) -> Iterator[Path]:
    """A folder that is removed at the end, with all that is in it."""
    with scratch_of_child(place) as folder:
        folder.mkdir(0o700)
        yield folder


@contextmanager
def scratch_of_child(place: Path = SMALL) -> Iterator[Path]:
    """A path at which a child may make a folder; the folder is removed at the end.

    The child removes it if it sees us die: if we made the folder, kill -9 before the child runs
    would leave it behind.
    """
    sweep()
    folder = place / f"{_PREFIX}{procfs.mark()}-{secrets.token_hex(4)}"
    try:
        yield folder
    finally:
        remove(folder)


def sweep() -> None:
    """Remove the folders of processes that are gone."""
    for place in (SMALL, LARGE):
        for folder in procfs.abandoned(place, _PREFIX):
            remove(folder)


def remove(folder: Path) -> None:
    """Unmount all that is mounted in a folder, then remove the folder: no mounted file is
    deleted."""
    unmount(folder)
    if not procfs.mount_points(folder):
        shutil.rmtree(folder, ignore_errors=True)
        if folder.exists():  # another's in a sticky folder: we may have given up our capabilities
            subprocess.run(["rm", "-rf", "--", folder], check=False)


def unmount(folder: Path) -> None:
    """Unmount what is mounted in a folder, in our own namespace: what is mounted on stays."""
    for target in reversed(procfs.mount_points(folder)):
        with suppress(OSError):
            libc.unmount(target)
