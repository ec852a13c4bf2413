"""Folders that a trial writes to: what became of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

MOST_FILES = 5000
FileText = tuple[str, str]
"""Path below a folder → owner, group, mode, file capabilities."""
Files = tuple[FileText, ...]


def as_on_disk(status: os.stat_result) -> str:
    """``UID:GID``, as the host calls them."""
    return f"{status.st_uid}:{status.st_gid}"


def snapshot(folder: Path, owner: Callable[[os.stat_result], str] = as_on_disk) -> Files:
    """Owner, group, mode and file capabilities of a folder and of what lies below it. ``owner``:
    how ``UID:GID`` is called."""
    files, top = [], str(folder)
    for path in islice(_below(folder), MOST_FILES):
        try:
            status = os.lstat(path)
            kept = os.listxattr(path, follow_symlinks=False)
        except OSError:
            continue
        caps = " with capabilities" if "security.capability" in kept else ""
        files.append((path[len(top) + 1 :] or ".", f"{described(status, owner)}{caps}"))
    return tuple(files)


def described(status: os.stat_result, owner: Callable[[os.stat_result], str]) -> str:
    """Owner, group and mode."""
    return f"{owner(status)} {status.st_mode & 0o7777:04o}"


def _below(folder: Path) -> Iterator[str]:
    yield str(folder)
    for root, folders, files in os.walk(folder):
        for name in sorted((*folders, *files)):
            yield os.path.join(root, name)
