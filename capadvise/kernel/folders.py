"""The folders that trials write to: kept before a recording, restored for each trial.

``keep`` stores all owners and modes, and the content of files: by reflink where the file system has
that, else by copy, up to a limit for the whole folder. A file above the limit keeps its later
content, with the owner and mode that it had.
"""

import json
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from fcntl import ioctl
from pathlib import Path
from typing import Any

from capadvise.model.errors import BadInput

MOST_ENTRIES = 50_000
MOST_CONTENT = 256 << 20
_FICLONE = 0x40049409  # linux/fs.h
_LISTING, _CONTENT = "listing.json", "content"


def keep(folder: str, store: Path) -> bool:
    """Store a folder in ``store``; False if it has too many entries. Raises BadInput if it is gone,
    or no space is left."""
    try:
        return _keep(folder, store)
    except OSError as error:
        raise BadInput(
            f"{folder} cannot be kept as it is now, for trials: {error.strerror}",
            hint="it is kept below /tmp, and without --prove not at all",
        ) from error


def _keep(folder: str, store: Path) -> bool:
    content = store / _CONTENT
    content.mkdir(parents=True)
    listing: dict[str, tuple[int, int, int, int, int, str | None]] = {}
    left = MOST_CONTENT
    for path, name in below(folder):
        if len(listing) >= MOST_ENTRIES:
            shutil.rmtree(store)
            return False
        try:
            status = os.lstat(path)
            kept = os.readlink(path) if stat.S_ISLNK(status.st_mode) else None
        except OSError:  # it has just gone
            continue
        copy = content / str(len(listing))
        if stat.S_ISREG(status.st_mode) and _copied(path, copy, status.st_size <= left):
            kept = copy.name
            left -= status.st_size
        ids = status.st_uid, status.st_gid, status.st_mode
        listing[name] = (*ids, status.st_size, status.st_mtime_ns, kept)
    (store / _LISTING).write_text(json.dumps(listing))
    return True


def was_full(store: Path) -> bool:
    """True if the folder had any entry."""
    return len(_listing(store)) > 1


def restore_root(folder: str, store: Path) -> None:
    """Give an empty folder the owner and mode of the folder that was kept."""
    uid, gid, mode, *_ = _listing(store)["."]
    os.chown(folder, uid, gid)
    os.chmod(folder, stat.S_IMODE(mode))


def _listing(store: Path) -> dict[str, Any]:
    listing: dict[str, Any] = json.loads((store / _LISTING).read_text())
    return listing


def restore(folder: str, store: Path) -> None:
    """Make a folder (a copy or overlay of the one that was kept) what that was."""
    listing = _listing(store)
    for path, name in list(below(folder)):
        if name not in listing:
            remove(path)
    for name, (uid, gid, mode, size, time, kept) in listing.items():
        path = os.path.join(folder, name) if name != "." else folder
        content = None if kept is None else store / _CONTENT / kept
        with suppress(OSError):
            if _differs(path, mode, size, time):
                _remake(path, mode, kept, content)
            status = os.lstat(path)
            if (status.st_uid, status.st_gid) != (uid, gid):
                os.chown(path, uid, gid, follow_symlinks=False)
                status = os.lstat(path)
            if not stat.S_ISLNK(mode) and status.st_mode != mode:
                os.chmod(path, stat.S_IMODE(mode))


def changed_since(folder: str, store: Path) -> list[str]:
    """The files that have changed and whose content was too large to keep: restoring the folder
    leaves them as they are now."""
    return [
        os.path.join(folder, name)
        for name, (_, _, mode, size, time, kept) in _listing(store).items()
        if stat.S_ISREG(mode) and kept is None
        if _differs(os.path.join(folder, name), mode, size, time)
    ]


def _differs(path: str, mode: int, size: int, time: int) -> bool:
    try:
        status = os.lstat(path)
    except OSError:
        return True
    if stat.S_IFMT(status.st_mode) != stat.S_IFMT(mode):
        return True
    return stat.S_ISREG(mode) and (status.st_size, status.st_mtime_ns) != (size, time)


def _remake(path: str, mode: int, kept: str | None, content: Path | None) -> None:
    """Restore an entry that has another kind or content now, or is gone."""
    if stat.S_ISDIR(mode):
        remove(path)
        os.mkdir(path)
    elif stat.S_ISLNK(mode) and kept is not None:
        remove(path)
        os.symlink(kept, path)
    elif stat.S_ISREG(mode) and content is not None and content.exists():
        remove(path)
        shutil.copyfile(content, path)
    elif not stat.S_ISREG(mode) and not os.path.lexists(path):
        os.mknod(path, mode)


def below(folder: str) -> Iterator[tuple[str, str]]:
    """Each entry of a folder on its own file system, the folder first: its path, and its name from
    there."""
    yield folder, "."
    device = os.lstat(folder).st_dev
    for root, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = os.path.join(root, name)
            yield path, os.path.relpath(path, folder)
        folders[:] = [name for name in folders if _device(os.path.join(root, name)) == device]


def _device(path: str) -> int | None:
    try:
        return os.lstat(path).st_dev
    except OSError:
        return None


def _copied(path: str, copy: Path, affordable: bool) -> bool:
    """Keep the content: shared where the file system can, else copied if it is small enough. False
    if it was not kept: too large, unreadable, or no space is left."""
    with suppress(OSError), open(path, "rb") as old, open(copy, "wb") as new:
        with suppress(OSError):
            ioctl(new, _FICLONE, old.fileno())
            return True
        if affordable:
            shutil.copyfileobj(old, new)
            new.flush()
            return True
    copy.unlink(missing_ok=True)
    return False


def copy_plain(path: str, copy: Path) -> None:
    """Copy a file with owner and mode, but without file capabilities or other attributes."""
    shutil.copyfile(path, copy)
    status = os.stat(path)
    os.chown(copy, status.st_uid, status.st_gid)
    os.chmod(copy, stat.S_IMODE(status.st_mode))


def remove(path: str) -> None:
    """Remove an entry, and what lies below it."""
    with suppress(OSError):
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)


FileText = tuple[str, str]
"""Path below a folder → owner, group, mode, file capabilities."""


def as_on_disk(status: os.stat_result) -> str:
    """``UID:GID``, as the host calls them."""
    return f"{status.st_uid}:{status.st_gid}"


def described(status: os.stat_result, owner: Callable[[os.stat_result], str]) -> str:
    """Owner, group and mode."""
    return f"{owner(status)} {status.st_mode & 0o7777:04o}"
