"""The user's terminal: lines on stderr, questions, its width, and whether it can show screens."""

import os
import sys
from pathlib import Path
from typing import TextIO

from capadvise.model.errors import CapadviseError
from capadvise.model.escape import printable


def notice(text: str) -> None:
    """Print a line on stderr; text from files or programs is escaped."""
    print(f"capadvise: {printable(text)}", file=sys.stderr)


def failure(what: str, error: CapadviseError) -> None:
    """Print an error after which capadvise goes on, with its hint."""
    notice(f"{what}: {error}")
    if error.hint:
        notice(f"hint: {error.hint}")


def progress(text: str) -> None:
    """Print a line if stderr is a terminal."""
    if sys.stderr.isatty():
        print(printable(text), file=sys.stderr, flush=True)


def confirmed(question: str) -> bool:
    """Ask the user; True for yes. Without a terminal, the option that led here counts as yes."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return True
    print(f"capadvise: {printable(question)} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def answer(text: str, output: str | None) -> None:
    """Write the answer of a command, whole lines, to a file, or else to stdout. Raises BadInput."""
    if output is None:
        print(text, end="")
        return
    from capadvise.report.save import write  # the usual answer does without it

    write(Path(output), text, private=False)


def columns(stream: TextIO) -> int:
    """The width of the terminal that a stream writes to; 80 if it is no terminal."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def has_screens() -> bool:
    """True if input and output are a terminal that screens can be drawn on."""
    drawn = os.environ.get("TERM", "dumb") != "dumb"
    return drawn and all(s and s.isatty() for s in (sys.stdin, sys.stdout, sys.stderr))
