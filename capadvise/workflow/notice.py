"""Lines on stderr, besides the answer, and how wide a terminal is."""

from __future__ import annotations

import os
import sys
from typing import TextIO

from capadvise.report.escape import printable


def notice(text: str) -> None:
    """A line on stderr. What came from files or programs is made safe."""
    print(f"capadvise: {printable(text)}", file=sys.stderr)


def progress(text: str) -> None:
    """A line for those who watch a terminal."""
    if sys.stderr.isatty():
        print(printable(text), file=sys.stderr, flush=True)


def columns(stream: TextIO) -> int:
    """The width of the terminal that a stream writes to; 80 where it is no terminal."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return 80
