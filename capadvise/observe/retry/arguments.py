"""Predicates about a call's arguments. Pure: memory is read through ``Process.proc``."""

import errno
import re
import stat
import struct
import sys
from collections.abc import Sequence

from capadvise.kernel.syscalls import makes_users
from capadvise.observe.retry.calls import I386, SILENT_FILES, Handling
from capadvise.observe.retry.thread import DAC_OVERRIDE, DAC_READ_SEARCH, Thread

PATH_ARG = {"open": 0, "creat": 0, "openat": 1, "openat2": 1, "execve": 0, "execveat": 1}
"""Calls whose path is read at their entry → the argument that is the path."""
SETGID_BIT = 0o2000
TRACEME, ATTACH, SEIZE = 0, 16, 0x4206  # linux/ptrace.h
_AF_UNIX = (1).to_bytes(2, sys.byteorder)
_AT_EMPTY_PATH = 0x1000
_AT_FDCWD = 0xFFFFFF9C
_AT_SYMLINK_NOFOLLOW = 0x100
_CHOWN = {"chown": 1, "lchown": 1, "fchown": 1, "fchownat": 2}
"""Calls that give a file another owner → the argument with the new owner."""
_GROUPS = 65536  # NGROUPS_MAX, linux/limits.h
_SET_SECCOMP, _SET_MODE = 22, (0, 1)
_NEW_LISTENER = 1 << 3
"""SECCOMP_FILTER_FLAG_NEW_LISTENER of linux/seccomp.h."""


def asks_for_set_gid(thread: Thread) -> bool:
    mode = thread.args[1 if thread.present.name in ("chmod", "fchmod") else 2]
    return bool(mode & SETGID_BIT)


def is_silent(thread: Thread) -> bool:
    """True if it opens a file that silently shows less without a capability."""
    return thread.path.rpartition(b"/")[2] in SILENT_FILES


def makes_namespace(thread: Thread) -> bool:
    """True if its present call makes or enters a user namespace."""
    if thread.call is None or thread.call.handling is not Handling.NAMESPACE:
        return False
    name, args = thread.call.name, thread.args
    if name in ("fork", "vfork"):
        return False
    if name == "clone3":
        flags = int.from_bytes(thread.process.proc.raw(args[0], 8), "little")
    else:
        flags = args[1 if name == "setns" else 0]
    return makes_users(flags) or (name == "setns" and not flags & 0xFFFFFFFF)


def opens_pseudo(thread: Thread) -> bool:
    """True if it opens a file below /proc or /sys."""
    path = thread.path
    if path.startswith(b"/"):
        return path.startswith((b"/proc/", b"/sys/")) or path in (b"/proc", b"/sys")
    if thread.process.in_pseudo:
        return True
    at = thread.args[0] & 0xFFFFFFFF if thread.call and "at" in thread.call.name else -1
    return at in thread.process.procfs_fds


def writes(thread: Thread) -> bool:
    name, args = thread.present.name, thread.args
    if name == "openat2":
        return bool(int.from_bytes(thread.process.proc.raw(args[2], 8), "little") & 3)
    return name == "creat" or bool(args[1 if name == "open" else 2] & 3)


def link(thread: Thread, fd: int) -> str:
    """The target of a descriptor, as /proc names it; empty if there is none."""
    return thread.process.proc.link(fd & 0x7FFFFFFF)


def installs_filter(thread: Thread) -> bool:
    """True if it installs a seccomp filter for itself."""
    if thread.present.name == "prctl":
        return thread.args[0] == _SET_SECCOMP
    return thread.args[0] in _SET_MODE


def makes_listener(thread: Thread) -> bool:
    """True if its filter lets another process answer its calls (SECCOMP_USER_NOTIF). Those calls do
    not stop at our filter: the kernel takes the answer that ranks higher."""
    return thread.present.name == "seccomp" and bool(thread.args[1] & _NEW_LISTENER)


def can_mean(thread: Thread, code: int) -> bool:
    """True if a missing capability can explain this error with these arguments; excludes two
    frequent errors that nearly always mean something else."""
    if code == errno.ENODATA:
        return thread.process.proc.text(thread.args[1]).startswith(b"trusted.")
    if code == errno.ENOENT and thread.present.name == "linkat":
        return bool(thread.args[4] & _AT_EMPTY_PATH)
    return True


def sends_nothing(thread: Thread) -> bool:
    """True for signal 0, which only tests if a process exists; a refusal answers that, too."""
    at = {"kill": 1, "tkill": 1, "tgkill": 2}.get(thread.present.name)
    return at is not None and thread.args[at] & 0xFFFFFFFF == 0


def mode_now(thread: Thread) -> int | None:
    """The mode of the file of a chmod; None if we cannot see it."""
    file = thread.process.proc.file(*_file(thread))
    return None if file is None else file.st_mode


def changes_nothing(thread: Thread) -> bool:
    """True if a chown sets the owner that the file already has, or setgroups the groups that the
    thread already has."""
    name, args = thread.present.name, thread.args
    if name == "setgroups":
        return _asks_for_its_groups(thread, args[0] & 0xFFFFFFFF, args[1])
    if name not in _CHOWN:
        return False
    at, flags = _CHOWN[name], args[4] if name == "fchownat" else 0
    follow = name != "lchown" and not flags & _AT_SYMLINK_NOFOLLOW
    where, proc = _file(thread), thread.process.proc
    file = proc.file(*where, follow=follow)
    if file is None or file.st_mode & (stat.S_ISUID | stat.S_ISGID):  # these bits go
        return False
    if args[at] & 0xFFFFFFFF not in (file.st_uid, 0xFFFFFFFF):
        return False
    if args[at + 1] & 0xFFFFFFFF not in (file.st_gid, 0xFFFFFFFF):
        return False
    return not proc.has_capabilities(*where, follow=follow)  # they would go, too


def _asks_for_its_groups(thread: Thread, count: int, address: int) -> bool:
    raw = thread.process.proc.raw(address, 4 * min(count, _GROUPS)) if count else b""
    groups = re.search(rb"^Groups:(.*)$", thread.process.proc.status(thread.tid), re.MULTILINE)
    if groups is None or len(raw) != 4 * count:
        return False
    return sorted(map(int, groups[1].split())) == sorted(struct.unpack(f"={count}I", raw))


def _file(thread: Thread) -> tuple[int | None, bytes]:
    """The file of a call of the chmod or chown family: see ``StoppedProcess.file``."""
    proc, args = thread.process.proc, thread.args
    if thread.present.name.startswith("f") and "at" not in thread.present.name:
        return args[0] & 0x7FFFFFFF, b""
    if "at" not in thread.present.name:
        return None, proc.text(args[0])
    at = args[0] & 0xFFFFFFFF
    return None if at == _AT_FDCWD else at, proc.text(args[1])


def of_family(row: Sequence[int], family: bytes) -> Sequence[int]:
    """The capabilities of a row that fit an address: only a Unix socket has a path, and only the
    others have ports."""
    paths = (DAC_OVERRIDE, DAC_READ_SEARCH)
    return [cap for cap in row if (cap in paths) is (family == _AF_UNIX)] or row


def sent(thread: Thread) -> bytes:
    """The beginning of the message that a send call carries."""
    memory, args = thread.process.proc, thread.args
    if thread.present.name == "sendto":
        return memory.raw(args[1], min(args[2], 4096))
    word = 4 if thread.arch == I386 else 8
    at = memory.raw(args[1] + 2 * word, word)  # struct msghdr, also at the start of mmsghdr
    vector = memory.raw(int.from_bytes(at, "little"), 2 * word)
    start, size = (int.from_bytes(half, "little") for half in (vector[:word], vector[word:]))
    return memory.raw(start, min(size, 4096))
