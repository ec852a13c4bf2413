"""Folders and owners of report files. Light: ``run -o`` needs it before the target starts."""

from __future__ import annotations

import os
from pathlib import Path


def make_folder(folder: Path) -> None:
    """A folder and what it lies in; under sudo each new one belongs to the user who called."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    for place in reversed(missing):
        place.mkdir(exist_ok=True)
        give_to_user(place)


def give_to_user(place: int | Path) -> None:
    """Under sudo the report is for the user who called it: the next commands need no root."""
    uid, gid = os.environ.get("SUDO_UID", ""), os.environ.get("SUDO_GID", "")
    if os.geteuid() == 0 and uid.isdecimal() and gid.isdecimal():
        os.chown(place, int(uid), int(gid))
