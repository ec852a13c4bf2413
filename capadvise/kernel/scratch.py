"""Folders of ours below /tmp or /var/tmp, and those that a killed capadvise left there."""

import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from capadvise.kernel import libc, procfs
from capadvise.kernel.posture.mounts import mount_points

_PREFIX = "capadvise-trial-"
SMALL, LARGE = Path("/tmp"), Path("/var/tmp")
"""The first can be in memory."""


@contextmanager
def scratch(place: Path = SMALL) -> Iterator[Path]:
    """A folder that is removed at the end, with all that is in it: by a process of its own if we
    are killed."""
    with scratch_of_child(place) as folder, _keeper(folder):
        yield folder


@contextmanager
def _keeper(folder: Path) -> Iterator[None]:
    """Make the folder in a process that sees our end by a pipe, and removes the folder then."""
    ours, (made, told) = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            _keep(folder, ours[0], told)
        finally:
            os._exit(0)
    os.close(ours[0])
    os.close(told)
    os.read(made, 1)
    os.close(made)
    try:
        folder.mkdir(0o700, exist_ok=True)  # raises what kept the keeper from making it
        yield
    finally:
        os.close(ours[1])
        with suppress(ChildProcessError):  # whoever kills our descendants has reaped it
            os.waitpid(pid, 0)


def _keep(folder: Path, ends: int, told: int) -> None:
    """In the keeper. It gets neither our files nor the keys and signals of our terminal."""
    os.setsid()
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    os.chdir("/")
    for fd in map(int, os.listdir("/proc/self/fd")):
        if fd not in (ends, told):
            with suppress(OSError):
                os.close(fd)
    with suppress(OSError):
        libc.call_this_process("keeper", "capadvise keeper")
    with suppress(OSError):
        folder.mkdir(0o700)
    os.close(told)
    os.read(ends, 1)
    remove(folder)


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
    if not mount_points(folder):
        shutil.rmtree(folder, ignore_errors=True)
        if folder.exists():  # another's in a sticky folder: we may have given up our capabilities
            subprocess.run(["rm", "-rf", "--", folder], check=False)


def unmount(folder: Path) -> None:
    """Unmount what is mounted in a folder, in our own namespace: what is mounted on stays."""
    for target in reversed(mount_points(folder)):
        with suppress(OSError):
            libc.unmount(target)
