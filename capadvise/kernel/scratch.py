"""Folders of our own below /tmp or /var/tmp, and what a killed capadvise left of them."""

from __future__ import annotations

import secrets
import shutil
import subprocess
import tempfile
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
    sweep()
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{procfs.mark()}-", dir=place))
    try:
        yield folder
    finally:
        remove(folder)


@contextmanager
def scratch_of_child() -> Iterator[Path]:
    """Where a child may make a folder; what it made is removed at the end.

    A child that sees us die removes it: were it made here, kill -9 before the child runs would
    leave it to nobody.
    """
    sweep()
    folder = SMALL / f"{_PREFIX}{procfs.mark()}-{secrets.token_hex(4)}"
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
    """Remove a folder, and what is mounted in it first: of that, nothing is deleted."""
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
