"""What commands tell besides their answer."""

from __future__ import annotations

import sys

from capadvise.report.escape import printable


def say(text: str) -> None:
    """A line on stderr. What came from files or programs is made safe."""
    print(f"capadvise: {printable(text)}", file=sys.stderr)
