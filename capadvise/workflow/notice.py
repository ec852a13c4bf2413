"""The terminal, besides the answer: lines on stderr, questions, its width, who looks at it."""

from __future__ import annotations

import os
import sys
from typing import TextIO

from capadvise.model.escape import printable


def notice(text: str) -> None:
    """A line on stderr. What came from files or programs is made safe."""
    print(f"capadvise: {printable(text)}", file=sys.stderr)


def progress(text: str) -> None:
    """A line for those who watch a terminal."""
    if sys.stderr.isatty():
        print(printable(text), file=sys.stderr, flush=True)


def confirmed(question: str) -> bool:
    """Whether the user says yes. Where nobody is at a terminal, the option that led here has said
    it."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return True
    print(f"capadvise: {printable(question)} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def columns(stream: TextIO) -> int:
    """The width of the terminal that a stream writes to; 80 where it is no terminal."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def has_screens() -> bool:
    """Whether somebody looks, on a terminal that can be drawn on."""
    drawn = os.environ.get("TERM", "dumb") != "dumb"
    return drawn and all(s and s.isatty() for s in (sys.stdin, sys.stdout, sys.stderr))
