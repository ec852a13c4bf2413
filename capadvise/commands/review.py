"""``capadvise review``: the screens on a saved report."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from pathlib import Path

from capadvise.catalog import default
from capadvise.errors import BadInput, Exit
from capadvise.report.load import load


def command(args: argparse.Namespace) -> int:
    """Open the review, until the user leaves. What is proven there is saved."""
    path = Path(args.report)
    report = load(path, default())
    if not all(stream and stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        raise BadInput(
            "review needs a terminal",
            hint=f"capadvise explain {shlex.quote(args.report)} says the same as text",
        )
    from capadvise.tui.app import CapadviseApp
    from capadvise.tui.look import ask_background, theme
    from capadvise.tui.review import ReviewView
    from capadvise.workflow.review_prover import ReviewProver

    look = theme(os.environ, ask_background(sys.stdin.fileno()))
    prover = ReviewProver(path)
    app = CapadviseApp(lambda: ReviewView(report, default(), path, prover=prover), theme=look)
    app.run()
    return app.return_code or Exit.OK
