"""The owners of a file. `prove` runs the commands of a file as root: a report or a workload that
another user can write is an order from that user."""

import grp
import os
import pwd
import shlex
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from capadvise.model.errors import BadInput
from capadvise.report.save import callers

_MOST_LINKS = 40  # as the kernel's MAXSYMLINKS
_ACL = "system.posix_acl_access"


def distrusted(path: Path) -> str | None:
    """Why what stands in a file can be another user's words; None if it cannot: the caller or root
    owns the file, the folders and links that lead to it, and no other user can write there."""
    try:
        if not path.is_file():
            return "it comes through a pipe, and it is not known who wrote it"
        own = {0, *callers()}
        return next(filter(None, (_doubt(one, own) for one in _way_to(path.absolute()))), None)
    except OSError as error:  # a here-document of a shell is a file that was removed
        return f"it is not known who can write it: {error.strerror}"


def require_trusted(path: Path) -> None:
    """Raise BadInput for a file of ``distrusted``."""
    if why := distrusted(path):
        raise BadInput(
            f"{path}: {why}; trials would run what it says",
            hint="if you know what it runs: capadvise prove --trust "
            + (shlex.quote(str(path)) if path.is_file() else "FILE"),
        )


def _way_to(path: Path) -> Iterator[Path]:
    """All folders and links on the way to a file, and the file."""
    todo, here, links = list(reversed(path.parts)), Path("/"), 0
    while todo:
        name = todo.pop()
        place = Path("/") if name == "/" else here.parent if name == ".." else here / name
        yield place
        if place.is_symlink():
            links += 1
            if links > _MOST_LINKS:
                raise OSError(0, "too many links")
            todo += reversed(Path(os.readlink(place)).parts)
        else:
            here = place


def _doubt(place: Path, own: set[int]) -> str | None:
    """Why this one place lets another user choose the content; None if it does not."""
    status = os.lstat(place)
    mode = status.st_mode
    if status.st_uid not in own:
        return f"{_called(status.st_uid)} owns {place}"
    if stat.S_ISLNK(mode) or (stat.S_ISDIR(mode) and mode & stat.S_ISVTX):
        return None  # nobody else can remove what is ours there
    if mode & stat.S_IWOTH:
        return f"every user can write to {place}"
    if mode & stat.S_IWGRP and (_has_acl(place) or not _is_private(status.st_gid, own)):
        return f"other users can write to {place}"
    return None


def _called(uid: int) -> str:
    user = _account(uid)
    return f"user {user.pw_name if user else uid}"


def _has_acl(place: Path) -> bool:
    """True if the mode's group bits stand for an access list."""
    with suppress(OSError):
        return _ACL in os.listxattr(place)
    return False


def _is_private(gid: int, own: set[int]) -> bool:
    """True for a user's own group, in which nobody else is."""
    with suppress(KeyError):
        group = grp.getgrgid(gid)
        users = [user for user in map(_account, own) if user]
        names = {user.pw_name for user in users}
        own_group = (gid, group.gr_name) in {(user.pw_gid, user.pw_name) for user in users}
        return own_group and names.issuperset(group.gr_mem)
    return False


def _account(uid: int) -> pwd.struct_passwd | None:
    with suppress(KeyError):
        return pwd.getpwuid(uid)
    return None
