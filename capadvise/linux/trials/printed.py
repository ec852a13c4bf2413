"""What the target of a trial prints: into files, and of these the end."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

OUT, ERR = "stdout", "stderr"
"""The files of a trial's folder that hold what its target printed."""


@contextmanager
def logged(out: Path, err: Path) -> Iterator[None]:
    """Our output, and so the target's, in files, and nothing on the standard input."""
    saved = os.dup(2)
    for path, fd in ((Path(os.devnull), 0), (out, 1), (err, 2)):
        opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(opened, fd)
        os.close(opened)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def end_of(path: Path, size: int) -> str:
    """The last bytes of what was printed, which can be more than memory holds."""
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - size))
        return file.read(size).decode(errors="backslashreplace")


def last_words(text: str) -> str:
    """The last line that was said."""
    return next((line[:200] for line in reversed(text.splitlines()) if line.strip()), "")
