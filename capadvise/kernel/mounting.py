"""Mounts of trials: a mount namespace whose mounts do not spread, and overlays over folders."""

import errno
import os
import stat
import subprocess
from contextlib import suppress
from pathlib import Path

from capadvise.kernel import libc, uapi
from capadvise.model import clone_flags
from capadvise.model.errors import CapadviseError

LARGEST_COPY_KB = 512 << 10

_OPTIONS = ("redirect_dir=on,metacopy=on,index=off,volatile", "index=off", "")
"""Tried in this order: with the first, a chown copies no content and a folder can be renamed."""


class CannotCover(CapadviseError):
    """A folder can be neither overlaid nor copied; trials never run on the real one."""


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
    """A path of an open file, independent of its name and of mounts over it."""
    return f"/proc/self/fd/{fd}"


def copy_folder(folder: int, copy: Path, name: str) -> None:
    """Copy an open folder, called ``name``, that cannot be overlaid.

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
    if done.returncode:  # a file that vanishes during the copy makes it fail
        done = subprocess.run(words, capture_output=True, text=True, pass_fds=[folder])
    if done.returncode:
        raise CannotCover(f"{name}: cannot be copied: {done.stderr.strip()[-300:]}")


def make_mounts_private() -> None:
    """Let no mount spread to other namespaces, or come from there, in a mount namespace that this
    process has just made. Raises OSError.

    Below chroot(8) the root is often no mount point. The mount around it is out of reach there, and
    usually shared with the machine: a trial's mounts would appear on the machine, and stay.
    """
    root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        libc.mount(None, "/", uapi.MS_REC | uapi.MS_PRIVATE)
    except OSError as error:
        if error.errno != errno.EINVAL:  # "/" is no mount point
            raise
        _leave_chroot()
        libc.mount(None, "/", uapi.MS_REC | uapi.MS_PRIVATE)
        place = os.readlink(f"/proc/self/fd/{root}")  # as it is called from the outside
        libc.mount(place, place, uapi.MS_BIND | uapi.MS_REC)
        os.chroot(place)
        os.chdir("/")
    finally:
        os.close(root)


def _leave_chroot() -> None:
    """Entering a mount namespace, even the own one, sets the root to its root: mntns_install() in
    fs/namespace.c."""
    own = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    try:
        libc.setns(own, clone_flags.CLONE_NEWNS)
    finally:
        os.close(own)
