"""Private copies of what a container may write to: of any size that there is room for."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from capadvise.model.errors import BadInput, CannotObserve
from capadvise.targets.client.client import Client
from capadvise.targets.containers.data import mountpoint, real_name

_SPARE = 1 << 30
"""So many bytes stay free."""


_WAY_OUT = "--replace stops it, records on its own data, and starts it again"


class DataCopies:
    """What a recording beside what is up is given: a ``volumes.Data``. The copies are in one
    folder, which is removed by whoever made it."""

    def __init__(self, client: Client, folder: Path, resolved: Mapping[str, Any]) -> None:
        """``resolved``: the compose project, empty without one."""
        self._client, self._folder, self._project = client, folder, resolved
        self._copies: dict[str, str] = {}

    @property
    def originals(self) -> dict[str, str]:
        """Copy → what it is a copy of."""
        return {copy: path for path, copy in self._copies.items()}

    def bind(self, source: str, _: str = "") -> str:
        """What cannot be copied, a socket or a device, stays as it is.

        Raises BadInput where there is no room, CannotObserve where it cannot be read.
        """
        path = os.path.abspath(os.path.expanduser(source))
        if path not in self._copies:  # services that share it share the copy
            self._copies[path] = self._copy_of(path)
        return self._copies[path]

    def volume(self, name: str) -> str | None:
        """None for one that is not there yet."""
        place = mountpoint(self._client, real_name(self._project, name))
        return None if place is None else self.bind(place)

    def _copy_of(self, path: str) -> str:
        try:
            mode = os.stat(path).st_mode
        except OSError:  # the engine makes it, a folder
            mode = stat.S_IFDIR
        if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
            return path
        copy = self._folder / f"volume{len(self._copies)}"
        if os.path.exists(path):
            self._require_room(path)
            self._copy(path, copy, is_folder=stat.S_ISDIR(mode))
        else:
            copy.mkdir()
        return str(copy)

    def _require_room(self, path: str) -> None:
        if os.path.realpath(path) in ("/", "/usr", "/var", "/home", "/proc", "/sys", "/dev"):
            raise BadInput(f"{path} is not copied: it belongs to the machine itself", hint=_WAY_OUT)
        done = subprocess.run(["du", "-sB1", path], capture_output=True, text=True)
        size = int((done.stdout.split() or ["0"])[0])
        free = shutil.disk_usage(self._folder).free
        if size > free - _SPARE:
            raise BadInput(
                f"{path} has {_gigabytes(size)}, and {self._folder.parent} has room for "
                f"{_gigabytes(max(0, free - _SPARE))}: too little for a copy",
                hint=_WAY_OUT,
            )

    def _copy(self, path: str, copy: Path, *, is_folder: bool) -> None:
        """By reflink where the file system can. Files of a program that runs come and go."""
        options = ["--archive", "--reflink=auto", "--no-target-directory"]
        words = ["cp", *options, "--", path, str(copy)]
        done = subprocess.run(words, capture_output=True, text=True, errors="backslashreplace")
        if "No space left" in done.stderr or not (copy.is_dir() if is_folder else copy.exists()):
            raise CannotObserve(f"{path} cannot be copied: {done.stderr.strip()[-200:]}")


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
