"""Mounts that are nobody else's: for a process that has just made a mount namespace.

Below chroot(8) the root is often no mount point. The mount that it lies in is out of reach there,
and shared with the machine as a rule: what a trial mounts would appear on the machine, and stay.
"""

from __future__ import annotations

import ctypes
import errno
import os

_BIND, _REC, _PRIVATE = 0x1000, 0x4000, 0x40000  # linux/mount.h
_NEWNS = 0x00020000  # linux/sched.h

_libc = ctypes.CDLL(None, use_errno=True)


def make_mounts_private() -> None:
    """Let no mount spread to other namespaces, or come from there. Raises OSError."""
    root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _mount(None, "/", _REC | _PRIVATE)
    except OSError as error:
        if error.errno != errno.EINVAL:  # "/" is no mount point
            raise
        _leave_chroot()
        _mount(None, "/", _REC | _PRIVATE)
        place = os.readlink(f"/proc/self/fd/{root}")  # as it is called from the outside
        _mount(place, place, _BIND | _REC)
        os.chroot(place)
        os.chdir("/")
    finally:
        os.close(root)


def _leave_chroot() -> None:
    """Who enters a mount namespace, even the own one, gets its root: mntns_install() in
    fs/namespace.c."""
    own = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.setns(own, _NEWNS):
            raise _failed("setns")
    finally:
        os.close(own)


def _mount(source: str | None, target: str, flags: int) -> None:
    given = None if source is None else os.fsencode(source)
    if _libc.mount(given, os.fsencode(target), None, ctypes.c_ulong(flags), None):
        raise _failed(f"mount {target}")


def _failed(what: str) -> OSError:
    code = ctypes.get_errno()
    return OSError(code, f"{what}: {os.strerror(code)}")
