"""What capadvise says besides its answer: lines on stderr."""

from __future__ import annotations

import sys

from capadvise.report.escape import printable


def notice(text: str) -> None:
    """A line on stderr. What came from files or programs is made safe."""
    print(f"capadvise: {printable(text)}", file=sys.stderr)


def progress(text: str) -> None:
    """A line for those who watch a terminal."""
    if sys.stderr.isatty():
        print(printable(text), file=sys.stderr, flush=True)
