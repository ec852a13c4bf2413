"""What the target of a trial prints: into files, and of these the end."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

OUT, ERR = "stdout", "stderr"
"""The files of a trial's folder that hold what its target printed."""
Given = tuple[str, int]
"""A file, and where in it to begin."""


@contextmanager
def logged(out: Path, err: Path, given: Given | None) -> Iterator[None]:
    """Our output, and so the target's, in files, and on the standard input what it is given."""
    saved = os.dup(2)
    for path, fd in ((out, 1), (err, 2)):
        _put(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), fd)
    _put(os.open(given[0] if given else os.devnull, os.O_RDONLY if given else os.O_RDWR), 0)
    if given:
        os.lseek(0, given[1], os.SEEK_SET)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def _put(opened: int, fd: int) -> None:
    os.dup2(opened, fd)
    os.close(opened)


def end_of(path: Path, size: int) -> str:
    """The last bytes of what was printed, which can be more than memory holds."""
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - size))
        return file.read(size).decode(errors="backslashreplace")


def last_words(text: str) -> str:
    """The last line that was said."""
    return next((line[:200] for line in reversed(text.splitlines()) if line.strip()), "")
