"""``capadvise review``: the screens on a saved report."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from capadvise.catalog import default
from capadvise.errors import BadInput, Exit
from capadvise.report.load import load


def command(args: argparse.Namespace) -> int:
    """Open the review."""
    path = Path(args.report)
    report = load(path, default())
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise BadInput(
            "review needs a terminal",
            hint=f"capadvise explain {shlex.quote(args.report)} prints the same as text",
        )
    from capadvise.tui.review import ReviewApp

    ReviewApp(report, default(), path).run()
    return Exit.OK
