"""Which user namespace a check is about, where a kernel function checks against either the
machine's or the one that owns the object: the call's arguments tell. Pure.
"""

from __future__ import annotations

from capadvise.catalog.askers import NamespaceScope
from capadvise.catalog.signs import Sign, Signs
from capadvise.model.recording import Check

_MOUNTABLE = frozenset(
    [
        *("binder", "binfmt_misc", "cgroup2", "cpuset", "devpts", "fuse", "mqueue", "overlay"),
        *("proc", "ramfs", "sysfs", "tmpfs"),
    ]
)
"""File systems with FS_USERNS_MOUNT that could be mounted there without help (Linux 6.18): others
are for the machine's root alone."""
_FILE_SYSTEMS = "file system "
"""What a check's detail begins with where the types are known."""
_NO_TYPES = frozenset(["none", "bind", "rbind", "move", "remount"])
"""What programs write for the type where there is nothing new to mount."""
MOUNTS = frozenset(["mount", "mount-superblock", "fsmount", "mount-reconfigure"])
"""Rules about mounts whose scope hangs on the type of the file system."""
_FANOTIFY = "fanotify"
_MARK_TYPE, _MARK_FILE_SYSTEM = 0x110, 0x100
"""FAN_MARK_MOUNT | FAN_MARK_FILESYSTEM: neither is set for a file or a folder, which any user may
watch; a file system's owner is asked from Linux 6.16, before that the machine's (do_fanotify_mark()
of fs/notify/fanotify/fanotify_user.c)."""
_REPORTS_IDS = 0x5E00
"""FAN_REPORT_FID, _DIR_FID, _NAME, _TARGET_FID, _MNT: one of these makes a group that any user may
have …"""
_ADMIN_GROUP = 0x21BC
"""… but not with FAN_CLASS_CONTENT, _PRE_CONTENT, FAN_UNLIMITED_QUEUE, _MARKS, FAN_REPORT_PIDFD,
_TID, _FD_ERROR (FANOTIFY_ADMIN_INIT_FLAGS)."""
_SAME_FILE_SYSTEM = 0x1000 | 0x2000 | 0x20000 | 0x40000 | 0x80000 | 0x100000
"""MS_BIND, MS_MOVE, MS_UNBINDABLE, MS_PRIVATE, MS_SLAVE, MS_SHARED: mounts nothing new."""
_HOST_OPTIONS = frozenset([1, 32, 33, 46, 69, 70])
"""SO_DEBUG, SO_SNDBUFFORCE, SO_RCVBUFFORCE, and the three of busy polling: sk_setsockopt() asks
capable()."""
_SOCKET_OPTION = "sockopt-admin"


def asked_about(check: Check, rule: str, signs: Signs) -> NamespaceScope | None:
    """Which one; None where nothing tells. ``rule``: the id of the check's site rule."""
    if signs.shows(Sign.NETLINK_MACHINE, check.site):
        return NamespaceScope.INITIAL
    if signs.shows(Sign.NETLINK_OWNER, check.site):
        return NamespaceScope.OWNER
    args = dict(check.args)
    if rule == _FANOTIFY:
        return _by_flags(check)
    if rule == _SOCKET_OPTION and "name" in args:
        on_host = args.get("level", 1) == 1 and args["name"] in _HOST_OPTIONS
        return NamespaceScope.INITIAL if on_host else NamespaceScope.OWNER
    if rule in MOUNTS:
        if check.syscall == "mount" and args.get("flags", 0) & _SAME_FILE_SYSTEM:
            return NamespaceScope.OWNER
        return _by_types(check.detail or "")
    return None


def _by_types(told: str) -> NamespaceScope | None:
    """Of a mount: who may mount file systems of these types."""
    if not told.startswith(_FILE_SYSTEMS):
        return None
    named = told.removeprefix(_FILE_SYSTEMS).split(", ")
    kinds = [kind for kind in named if kind not in _NO_TYPES]
    known = all(kind.partition(".")[0] in _MOUNTABLE for kind in kinds)
    return NamespaceScope.OWNER if known else NamespaceScope.INITIAL


def _by_flags(check: Check) -> NamespaceScope | None:
    """Of a call of fanotify: who may have such a group, or such a mark."""
    flags = dict(check.args).get("flags")
    if check.syscall != "fanotify_init" or flags is None:
        return NamespaceScope.OWNER if _marks(check) == 0 else None
    for_all = flags & _REPORTS_IDS and not flags & _ADMIN_GROUP
    return NamespaceScope.OWNER if for_all else NamespaceScope.INITIAL


def watches_file_system(check: Check) -> bool:
    """Whether it is about watching a whole one (fanotify)."""
    return _marks(check) == _MARK_FILE_SYSTEM


def _marks(check: Check) -> int | None:
    """What a call of fanotify_mark(2) is about: the bits of its type."""
    flags = dict(check.args).get("flags")
    return flags & _MARK_TYPE if check.syscall == "fanotify_mark" and flags is not None else None
