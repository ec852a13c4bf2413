"""Covering folders in a namespace without hiding the program under test: the checkout, ``.venv``
and the interpreter may lie in any folder, and be reached through a symbolic link."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

TOP = Path(__file__).parents[2]
STAGE = "/var/mail"
"""Every Debian has this folder, and nobody keeps a checkout in it, which they do below /mnt."""
COVER = f"""
cover() {{ # cover FOLDER MODE: mount an empty folder over it, in which what $SHOWN lists is there
    mount -t tmpfs -o "mode=$2" none {STAGE}
    printf '%s\\n' "$SHOWN" | (umask 022; while IFS= read -r path; do
        case $path in
            "$1"/*)
                mkdir -p "{STAGE}/${{path#"$1"/}}"
                mount --rbind "$path" "{STAGE}/${{path#"$1"/}}" ;;
        esac
    done)
    mount --no-mtab --move {STAGE} "$1"
}}
"""
"""A function of the shell, for a mount namespace whose mounts are private."""


def shown(*more: Path) -> tuple[str, ...]:
    """The folders that the program under test is read from, and ``more``: as they are named, and
    where symbolic links lead. None lies in another one."""
    named = (TOP, Path(sys.prefix), Path(sys.base_prefix), *more)
    paths = {form for path in named for form in (path.absolute(), path.resolve())}
    return tuple(sorted(str(path) for path in paths if not paths & set(path.parents)))


def closed() -> Iterator[str]:
    """The topmost folders above these that an ordinary user cannot enter: homes."""
    for path in shown():
        parents = [*reversed(Path(os.path.realpath(path)).parents)]
        for parent in parents[1:]:
            if not parent.stat().st_mode & stat.S_IXOTH:
                yield str(parent)
                break
