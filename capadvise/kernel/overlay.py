"""An overlay over a folder: it is seen as it is, and what is written goes elsewhere."""

from __future__ import annotations

import os
import stat
import subprocess
from contextlib import suppress
from pathlib import Path

from capadvise.kernel import libc, uapi
from capadvise.model.errors import CapadviseError

LARGEST_COPY_KB = 256 << 10

_OPTIONS = ("redirect_dir=on,metacopy=on,index=off,volatile", "index=off", "")
"""Tried in this order: with the first, a chown copies no content and a folder can be renamed."""


class CannotCover(CapadviseError):
    """A folder can be neither overlaid nor copied, and trials do not run on the real one."""


def put_overlay(lower: int, layer: Path, target: str) -> bool:
    """Mount an overlay of an open folder at a place, its upper layer in a folder of ours; False
    where the file system allows none."""
    upper, work = layer / "upper", layer / "work"
    upper.mkdir(parents=True)
    work.mkdir()
    same_root(lower, upper)
    layers = f"lowerdir={path_of(lower)},upperdir={upper},workdir={work}"
    flags = os.fstatvfs(lower).f_flag & uapi.MS_ACCESS
    for options in _OPTIONS:
        text = ",".join(filter(None, (layers, options)))
        with suppress(OSError):
            libc.mount("capadvise", target, flags, "overlay", text)
            return True
    return False


def same_root(folder: int, copy: Path) -> None:
    """Give a copy the owner, mode and attributes of a folder: the root of an overlay is that of its
    upper layer."""
    status = os.fstat(folder)
    os.chown(copy, status.st_uid, status.st_gid)
    os.chmod(copy, stat.S_IMODE(status.st_mode))
    for name in os.listxattr(path_of(folder)):
        if not name.startswith("trusted.overlay."):
            with suppress(OSError):
                os.setxattr(copy, name, os.getxattr(path_of(folder), name))


def path_of(fd: int) -> str:
    """A path of what is open, whatever its name and whatever hides it."""
    return f"/proc/self/fd/{fd}"


def copy_folder(folder: int, copy: Path, name: str) -> None:
    """Copy an open folder, called ``name``, for where there can be no overlay of it.

    Raises CannotCover where it is too large for that.
    """
    copy.mkdir()
    same_root(folder, copy)
    size = subprocess.run(
        ["du", "-skx", f"{path_of(folder)}/."], capture_output=True, text=True, pass_fds=[folder]
    )
    if int((size.stdout.split() or ["0"])[0]) > LARGEST_COPY_KB:
        raise CannotCover(
            f"{name}: its file system supports no overlay, and with more than "
            f"{LARGEST_COPY_KB >> 10} MB it is too large to copy for each trial",
            hint="move it, or let trials write to it: --in-place",
        )
    words = ["cp", "-a", f"{path_of(folder)}/.", str(copy)]
    done = subprocess.run(words, capture_output=True, text=True, pass_fds=[folder])
    if done.returncode:  # a file that vanished meanwhile makes the first copy fail
        done = subprocess.run(words, capture_output=True, text=True, pass_fds=[folder])
    if done.returncode:
        raise CannotCover(f"{name}: cannot be copied: {done.stderr.strip()[-300:]}")
