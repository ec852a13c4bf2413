"""Groups that could replace DAC_OVERRIDE or DAC_READ_SEARCH for a target."""

import grp
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from capadvise.model.caps import parse_set
from capadvise.model.recording import Recording
from capadvise.observe.supervise.command import user_of

FILE_CAPS = parse_set(["DAC_OVERRIDE", "DAC_READ_SEARCH"])
"""With these, owners and modes of files do not count."""


def of_refused_files(recordings: Iterable[Recording], user: str | None) -> tuple[int, ...]:
    """The groups of the files for which retries showed these capabilities needed, if the group has
    rights that others do not have. Paths begin at the working directory."""
    uid, folder = user_of(user)["uid"] if user else 0, Path.cwd()
    paths = {
        check.detail.rpartition(", ")[0] or check.detail
        for recording in recordings
        for check in recording.checks
        if check.cap in FILE_CAPS and check.retried is not None and check.detail
    }
    return tuple(sorted({gid for path in paths for gid in _groups(folder / path, uid)}))


def _groups(path: Path, user: int) -> Iterator[int]:
    """The groups of a file, and of the folders on the way to it."""
    for one in (path, *path.parents):
        with suppress(OSError, ValueError):  # it is gone, or no path
            status = os.stat(one)
            of_group, of_others = status.st_mode >> 3 & 7, status.st_mode & 7
            closed = status.st_uid != user and of_group & ~of_others
            if closed and status.st_gid and not stat.S_ISLNK(status.st_mode):
                yield status.st_gid


def name(gid: int) -> str:
    """The name of a group; its number if it has none."""
    with suppress(KeyError):
        return grp.getgrgid(gid).gr_name
    return str(gid)


def numbers(lists: Iterable[str]) -> tuple[int, ...]:
    """The groups in lists of their names: ``adm,1234``."""
    names = (one for names in lists for one in names.split(","))
    return tuple(int(one) if one.isdecimal() else grp.getgrnam(one).gr_gid for one in names)
