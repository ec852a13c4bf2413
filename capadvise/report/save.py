"""Writing files: whole or not at all, through no link that another user planted.

A folder with the sticky bit, as /tmp is, belongs to many users. There, a link of another user is
not followed, as the kernel follows none with fs.protected_symlinks. Folders are opened one by one,
so that nobody can exchange one in between. Light, since ``run -o`` needs it before the target
starts.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from capadvise.model.errors import BadInput

if TYPE_CHECKING:
    from capadvise.catalog import Catalog
    from capadvise.judgement.report import Report

_MOST_LINKS = 40  # as the kernel's MAXSYMLINKS
_KINDS = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
_FOLDER = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class PlantedLink(OSError):
    """A link, or a file, of another user's in a folder that many share."""


@contextmanager
def folder_of(path: Path) -> Iterator[tuple[int, str]]:
    """The folder of a file, opened, and the file's own name in it; links are followed, and missing
    folders made. Raises OSError."""
    fd = os.open("/" if path.is_absolute() else ".", _FOLDER)
    try:
        parts = [part for part in reversed(path.parts) if part != "/"]
        links = 0
        while parts:
            name = parts.pop()
            target = _link(fd, name)
            if not parts and (target is None or is_proc(fd)):
                yield fd, name
                return
            if target is None:
                fd = _entered(fd, name)
                continue
            links += 1
            if links > _MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            if target.is_absolute():
                fd = _replaced(fd, os.open("/", _FOLDER))
            parts += [part for part in reversed(target.parts) if part != "/"]
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
    finally:
        os.close(fd)


def is_proc(folder: int) -> bool:
    """True for a folder in /proc, whose links to descriptors show no path."""
    with suppress(OSError):
        return os.fstat(folder).st_dev == os.stat("/proc").st_dev
    return False


def _link(folder: int, name: str) -> Path | None:
    """The target of a link; None if it is no link. Raises PlantedLink."""
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if not stat.S_ISLNK(status.st_mode):
        return None
    if _is_planted(folder, status, {os.geteuid()}):
        raise PlantedLink(errno.EACCES, "it is another user's link in a shared folder")
    return Path(os.readlink(name, dir_fd=folder))


def _is_planted(folder: int, status: os.stat_result, own: set[int]) -> bool:
    """True if something in a folder that many share belongs to neither the folder's owner nor one
    of ``own``: may_follow_link() of fs/namei.c."""
    shared = os.fstat(folder)
    both = stat.S_ISVTX | stat.S_IWOTH
    return shared.st_mode & both == both and status.st_uid not in {*own, shared.st_uid}


def is_special(folder: int, name: str) -> bool:
    """True if the file is written to, not replaced: /dev/null, a terminal of ours, the target of a
    descriptor below /proc. Raises OSError for other devices and pipes, which can block for ever."""
    try:
        status = os.stat(name, dir_fd=folder)
    except FileNotFoundError:
        return False
    if _is_planted(folder, status, callers()):
        raise PlantedLink(errno.EACCES, "it is another user's file in a shared folder")
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if is_proc(folder):
        return True
    if stat.S_ISREG(status.st_mode):
        return False
    if not stat.S_ISCHR(status.st_mode) or status.st_rdev not in _harmless():
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "a device")
        raise OSError(errno.EINVAL, f"{kind}, which is not written to as a file")
    return True


def _harmless() -> set[int]:
    """/dev/null, /dev/tty and the terminals that we were started on."""
    own = {os.fstat(fd).st_rdev for fd in (0, 1, 2) if os.isatty(fd)}
    return {os.makedev(1, 3), os.makedev(5, 0), *own}


def _entered(folder: int, name: str) -> int:
    """A folder in a folder, which is closed; made where it is missing."""
    try:
        return _replaced(folder, os.open(name, _FOLDER, dir_fd=folder))
    except FileNotFoundError:
        os.mkdir(name, dir_fd=folder)
    made = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
    give_to_user(made)
    return _replaced(folder, made)


def _replaced(old: int, new: int) -> int:
    os.dup2(new, old, inheritable=False)
    os.close(new)
    return old


def callers() -> set[int]:
    """The users whose files are ours: our own, and under sudo the caller."""
    caller = os.environ.get("SUDO_UID", "")
    is_sudo = os.geteuid() == 0 and caller.isdecimal()
    return {os.geteuid(), *([int(caller)] if is_sudo else [])}


def give_to_user(fd: int) -> None:
    """Under sudo the report is for the user who called it: the next commands need no root."""
    uid, gid = os.environ.get("SUDO_UID", ""), os.environ.get("SUDO_GID", "")
    if os.geteuid() == 0 and uid.isdecimal() and gid.isdecimal():
        os.chown(fd, int(uid), int(gid))


def save(path: Path, report: Report, catalog: Catalog) -> None:
    """Write the report atomically, for its owner alone: arguments can be secrets.

    Raises BadInput where the place cannot be written to.
    """
    import json

    from capadvise.report.dump import dump

    write(path, json.dumps(dump(report, catalog), indent=1) + "\n", private=True)


def write(path: Path, text: str, *, private: bool) -> None:
    """Write a file atomically; for its owner alone, or as the umask says.

    Raises BadInput where the place cannot be written to.
    """
    what = "the report " if private else ""
    try:
        with folder_of(path) as (folder, name):
            if is_special(folder, name):
                fd = os.open(name, os.O_WRONLY | os.O_CLOEXEC, dir_fd=folder)
                with os.fdopen(fd, "w", encoding="utf-8") as file:
                    file.write(text)
            else:
                _write(folder, name, text, private=private)
    except OSError as error:
        raise BadInput(f"cannot write {what}{path}: {error.strerror}") from error
    except ValueError as error:  # a NUL byte
        raise BadInput(f"cannot write {what}{path}: {error}") from error


def _write(folder: int, name: str, text: str, *, private: bool) -> None:
    """Put the text in the place of what has this name."""
    temporary = f".{name[:200]}.{os.urandom(8).hex()}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(temporary, flags, 0o600 if private else 0o666, dir_fd=folder)
    try:
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            file.write(text)
            give_to_user(file.fileno())
        os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=folder)
        raise
