"""Mounts that are nobody else's: for a process that has just made a mount namespace.

Below chroot(8) the root is often no mount point. The mount that it lies in is out of reach there,
and shared with the machine as a rule: what a trial mounts would appear on the machine, and stay.
"""

from __future__ import annotations

import errno
import os

from capadvise.kernel import libc, uapi
from capadvise.model import clone_flags


def make_mounts_private() -> None:
    """Let no mount spread to other namespaces, or come from there. Raises OSError."""
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
    """Who enters a mount namespace, even the own one, gets its root: mntns_install() in
    fs/namespace.c."""
    own = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    try:
        libc.setns(own, clone_flags.CLONE_NEWNS)
    finally:
        os.close(own)
